SELECT tenant_id, leaving_at IS NOT NULL AS leaving FROM tenants ORDER BY tenant_id
