-- What came in behind the batches goes with it.
DELETE FROM tenants WHERE tenant_id = %(tenant_id)s
