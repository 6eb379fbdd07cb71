-- Events as messages; those that no endpoint wants are not kept.
INSERT INTO webhook_messages (tenant_id, message_id, type, data, created_at)
SELECT %(tenant_id)s, said.event_id, said.type, said.data, now()
FROM jsonb_to_recordset(%(events)s) AS said (event_id uuid, type text, data jsonb)
WHERE EXISTS (
    SELECT
    FROM webhook_endpoints
    WHERE webhook_endpoints.tenant_id = %(tenant_id)s AND enabled AND said.type = ANY (events)
)
ON CONFLICT (tenant_id, message_id) DO NOTHING
