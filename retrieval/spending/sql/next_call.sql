-- The number of the tenant's next call. Bookings of a tenant wait here for each other: what follows reads the latest.
INSERT INTO spending_accounts (tenant_id, calls)
SELECT tenants.tenant_id, 1
FROM tenants
WHERE tenants.tenant_id = %(tenant_id)s
ON CONFLICT (tenant_id) DO UPDATE SET calls = spending_accounts.calls + 1
RETURNING calls AS number
