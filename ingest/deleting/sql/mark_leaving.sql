-- From the commit on, no transaction enters the tenant.
UPDATE tenants SET leaving_at = coalesce(leaving_at, now()) WHERE tenant_id = %(tenant_id)s
