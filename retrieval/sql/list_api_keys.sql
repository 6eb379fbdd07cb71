-- A tenant's keys, oldest first, without what could open anything.
SELECT key_id, tenant_id AS tenant, name, scopes, principals, created_at, revoked_at
FROM api_keys
WHERE tenant_id = %(tenant_id)s
ORDER BY created_at, key_id
