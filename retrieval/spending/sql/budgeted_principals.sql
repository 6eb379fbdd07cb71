-- Whoever in the tenant has a budget, or spends from a default in this hour, day or month.
SELECT principal FROM budgets WHERE tenant_id = %(tenant_id)s
UNION
SELECT principal FROM spending_windows WHERE tenant_id = %(tenant_id)s AND starts_at = date_trunc(period, now(), 'UTC')
