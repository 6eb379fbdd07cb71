-- The newest first.
SELECT endpoint_id, secret
FROM webhook_secrets
WHERE tenant_id = %(tenant_id)s AND endpoint_id = ANY (%(endpoint_ids)s::uuid[]) AND valid_until > now()
ORDER BY endpoint_id, created_at DESC, secret_id
