-- A message that no event brought about.
INSERT INTO webhook_messages (tenant_id, message_id, type, data, created_at)
VALUES (%(tenant_id)s, %(message_id)s, %(type)s, '{}', now())
