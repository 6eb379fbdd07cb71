-- The current windows of these principals, with what the ledger already holds for each. (Another process may be past
-- the window's end: its calls are the next one's.)
INSERT INTO spending_windows (tenant_id, principal, period, starts_at, tokens, nano_usd)
SELECT %(tenant_id)s, begun.principal, begun.period, date_trunc(begun.period, now(), 'UTC'), booked.tokens, booked.nano_usd
FROM (SELECT DISTINCT * FROM unnest(%(begun)s::text[], %(periods)s::text[])) AS begun (principal, period)
CROSS JOIN LATERAL (
    SELECT coalesce(sum(calls.prompt_tokens + calls.completion_tokens), 0)::bigint AS tokens,
           coalesce(sum(calls.nano_usd), 0)::bigint AS nano_usd
    FROM spending_calls AS calls
    WHERE calls.tenant_id = %(tenant_id)s
        AND begun.principal = ANY (calls.principals)
        AND calls.reserved_at >= date_trunc(begun.period, now(), 'UTC')
        AND date_trunc(begun.period, calls.reserved_at, 'UTC') = date_trunc(begun.period, now(), 'UTC')
) AS booked
ON CONFLICT DO NOTHING
