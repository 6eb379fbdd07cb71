-- Waits until no other booking of the tenant is under way.
SELECT calls AS number
FROM spending_accounts
WHERE tenant_id = %(tenant_id)s
FOR UPDATE
