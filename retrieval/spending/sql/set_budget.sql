-- A new budget, or a new amount for one. No row: the tenant is not known.
INSERT INTO budgets (tenant_id, principal, period, unit, amount)
SELECT tenants.tenant_id, %(principal)s, %(period)s, %(unit)s, %(amount)s
FROM tenants
WHERE tenants.tenant_id = %(tenant_id)s
ON CONFLICT (tenant_id, principal, period, unit) DO UPDATE SET amount = excluded.amount
