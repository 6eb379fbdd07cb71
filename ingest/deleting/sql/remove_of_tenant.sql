-- Some of the tenant's rows in one table.
DELETE FROM {table}
WHERE tenant_id = %(tenant_id)s
  AND ({key}) IN (SELECT {key} FROM {table} WHERE tenant_id = %(tenant_id)s LIMIT %(most)s)
