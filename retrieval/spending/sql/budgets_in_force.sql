-- The budgets that a call by these principals counts against, with what is booked in the current
-- window; where none has begun, what the ledger holds.
-- A kind's default (`user:*`) is each principal's own, unless that one has a budget of the same period and unit.
SELECT DISTINCT ON (held.principal, budgets.period, budgets.unit)
       held.principal,
       budgets.period,
       budgets.unit,
       budgets.amount,
       windows.tenant_id IS NOT NULL AS begun,
       coalesce(
           CASE budgets.unit WHEN 'tokens' THEN windows.tokens ELSE windows.nano_usd END,
           (
               SELECT sum(CASE budgets.unit WHEN 'tokens' THEN prompt_tokens + completion_tokens ELSE nano_usd END)
               FROM spending_calls AS calls
               WHERE calls.tenant_id = %(tenant_id)s
                   AND held.principal = ANY (calls.principals)
                   AND calls.reserved_at >= date_trunc(budgets.period, now(), 'UTC')
                   AND date_trunc(budgets.period, calls.reserved_at, 'UTC') = date_trunc(budgets.period, now(), 'UTC')
           ),
           0
       )::bigint AS booked,
       (date_trunc(budgets.period, now() AT TIME ZONE 'UTC') + ('1 ' || budgets.period)::interval)
           AT TIME ZONE 'UTC' AS reset_at
FROM unnest(%(principals)s::text[]) AS held (principal)
JOIN budgets
    ON budgets.tenant_id = %(tenant_id)s
    AND budgets.principal IN (held.principal, split_part(held.principal, ':', 1) || ':*')
LEFT JOIN spending_windows AS windows
    ON windows.tenant_id = budgets.tenant_id
    AND windows.principal = held.principal
    AND windows.period = budgets.period
    AND windows.starts_at = date_trunc(budgets.period, now(), 'UTC')
ORDER BY held.principal, budgets.period, budgets.unit, budgets.principal = held.principal DESC
