-- The tenant's budgets as they were set.
SELECT principal, period, unit, amount
FROM budgets
WHERE tenant_id = %(tenant_id)s
ORDER BY principal, period, unit
