-- The newest message first; those after a message that is still kept.
SELECT webhook_messages.message_id, webhook_messages.type, webhook_messages.created_at,
    state, attempts, next_attempt_at, outcome
FROM webhook_deliveries
JOIN webhook_messages
    ON webhook_messages.tenant_id = webhook_deliveries.tenant_id
    AND webhook_messages.message_id = webhook_deliveries.message_id
WHERE webhook_deliveries.tenant_id = %(tenant_id)s
  AND webhook_deliveries.endpoint_id = %(endpoint_id)s
  AND (%(state)s::text IS NULL OR state = %(state)s)
  AND (
      %(after)s::uuid IS NULL
      OR (webhook_messages.created_at, webhook_messages.message_id) < (
          SELECT last.created_at, last.message_id
          FROM webhook_messages AS last
          WHERE last.tenant_id = %(tenant_id)s AND last.message_id = %(after)s
      )
  )
ORDER BY webhook_messages.created_at DESC, webhook_messages.message_id DESC
LIMIT %(limit)s
