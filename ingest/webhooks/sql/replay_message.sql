-- Due anew, as if it had never been tried.
INSERT INTO webhook_deliveries (tenant_id, endpoint_id, message_id, due_since, next_attempt_at)
SELECT %(tenant_id)s, webhook_endpoints.endpoint_id, webhook_messages.message_id, now(), now()
FROM webhook_messages
JOIN webhook_endpoints ON webhook_endpoints.tenant_id = webhook_messages.tenant_id
WHERE webhook_messages.tenant_id = %(tenant_id)s
  AND webhook_messages.message_id = %(message_id)s
  AND webhook_endpoints.endpoint_id = %(endpoint_id)s
  AND webhook_endpoints.enabled
FOR KEY SHARE
ON CONFLICT (tenant_id, endpoint_id, message_id) DO UPDATE
SET state = 'pending', attempts = 0, outcome = 'not_tried', due_since = excluded.due_since,
    next_attempt_at = excluded.next_attempt_at
