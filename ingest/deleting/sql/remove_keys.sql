DELETE FROM api_keys WHERE tenant_id = %(tenant_id)s
