-- How many rows of one table are the tenant's.
SELECT count(*) AS rows FROM {table} WHERE tenant_id = %(tenant_id)s
