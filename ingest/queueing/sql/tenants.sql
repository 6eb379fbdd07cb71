-- Every tenant but those that are leaving: nothing is done for them any more.
SELECT tenant_id FROM tenants WHERE leaving_at IS NULL ORDER BY tenant_id
