-- The longest due of each endpoint, leased: whoever claims them dies, and they are due again after the lease.
WITH due AS (
    SELECT found.endpoint_id, found.message_id
    FROM unnest(%(endpoint_ids)s::uuid[], %(shares)s::integer[]) AS callable (endpoint_id, share)
    CROSS JOIN LATERAL (
        SELECT webhook_deliveries.endpoint_id, webhook_deliveries.message_id
        FROM webhook_deliveries
        WHERE webhook_deliveries.tenant_id = %(tenant_id)s
          AND webhook_deliveries.endpoint_id = callable.endpoint_id
          AND state = 'pending'
          AND next_attempt_at <= now()
        ORDER BY next_attempt_at
        LIMIT callable.share
        FOR UPDATE SKIP LOCKED
    ) AS found
)
UPDATE webhook_deliveries
SET attempts = attempts + 1, next_attempt_at = now() + make_interval(secs => %(lease)s)
FROM due
JOIN webhook_messages ON webhook_messages.tenant_id = %(tenant_id)s AND webhook_messages.message_id = due.message_id
WHERE webhook_deliveries.tenant_id = %(tenant_id)s
  AND webhook_deliveries.endpoint_id = due.endpoint_id
  AND webhook_deliveries.message_id = due.message_id
RETURNING webhook_deliveries.endpoint_id, webhook_deliveries.message_id, webhook_messages.type, webhook_messages.data,
    webhook_messages.created_at, webhook_deliveries.attempts, webhook_deliveries.next_attempt_at AS leased_until
