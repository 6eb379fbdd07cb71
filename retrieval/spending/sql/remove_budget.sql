DELETE FROM budgets
WHERE tenant_id = %(tenant_id)s AND principal = %(principal)s AND period = %(period)s AND unit = %(unit)s
