-- Of endpoints that have been silent for days.
UPDATE webhook_deliveries
SET state = 'failed', outcome = 'expired'
WHERE tenant_id = %(tenant_id)s AND state = 'pending' AND due_since < now() - make_interval(secs => %(age)s)
