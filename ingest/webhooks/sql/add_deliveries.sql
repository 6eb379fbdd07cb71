-- Each message is to be delivered to each endpoint that wants its type. Locked as they are read: one that is being removed
-- is waited for and left out; found by the foreign key alone, it would fail what is told of.
INSERT INTO webhook_deliveries (tenant_id, endpoint_id, message_id, due_since, next_attempt_at)
SELECT %(tenant_id)s, webhook_endpoints.endpoint_id, webhook_messages.message_id, now(), now()
FROM webhook_messages
JOIN webhook_endpoints ON webhook_endpoints.tenant_id = webhook_messages.tenant_id
WHERE webhook_messages.tenant_id = %(tenant_id)s
  AND webhook_messages.message_id = ANY (%(event_ids)s::uuid[])
  AND webhook_endpoints.enabled
  AND webhook_messages.type = ANY (webhook_endpoints.events)
ORDER BY webhook_endpoints.endpoint_id
FOR KEY SHARE OF webhook_endpoints
ON CONFLICT (tenant_id, endpoint_id, message_id) DO NOTHING
