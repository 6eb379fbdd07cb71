-- Adds to the windows in which a call is counted, or takes from them.
UPDATE spending_windows
SET tokens = tokens + %(tokens)s, nano_usd = nano_usd + %(nano_usd)s
WHERE tenant_id = %(tenant_id)s
    AND principal = ANY (%(principals)s)
    AND starts_at = date_trunc(period, %(reserved_at)s::timestamptz, 'UTC')
