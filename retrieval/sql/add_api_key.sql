-- A new key; the secret itself is not stored.
INSERT INTO api_keys (key_id, tenant_id, name, secret_hash, scopes, principals)
VALUES (%(key_id)s, %(tenant_id)s, %(name)s, %(secret_hash)s, %(scopes)s, %(principals)s)
