-- A key that has not been revoked, by its public part.
SELECT key_id, tenant_id AS tenant, name, scopes, principals, secret_hash
FROM api_keys
WHERE key_id = %(key_id)s AND revoked_at IS NULL
