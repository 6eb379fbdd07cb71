SELECT tenant_id FROM tenants WHERE leaving_at IS NULL ORDER BY tenant_id
