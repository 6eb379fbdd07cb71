-- Whether there is such a tenant, since when, and whether it is leaving.
SELECT created_at, leaving_at IS NOT NULL AS leaving FROM tenants WHERE tenant_id = %(tenant_id)s
