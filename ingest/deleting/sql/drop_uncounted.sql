-- Names of fields and of principals are words of somebody's: once no document has them, nor do we.
DELETE FROM {table} WHERE tenant_id = %(tenant_id)s AND {count} <= 0
