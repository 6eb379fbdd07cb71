DELETE FROM {table} WHERE tenant_id = %(tenant_id)s
