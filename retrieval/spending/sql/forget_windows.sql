-- Windows that are over: the ledger has what was booked in them.
DELETE FROM spending_windows
WHERE tenant_id = %(tenant_id)s
    AND (principal, period) IN (SELECT * FROM unnest(%(begun)s::text[], %(periods)s::text[]))
    AND starts_at < date_trunc(period, now(), 'UTC')
