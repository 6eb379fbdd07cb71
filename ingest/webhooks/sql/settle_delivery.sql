-- What came of an attempt; no row: its lease was over, and another's attempt counts.
UPDATE webhook_deliveries
SET state = %(state)s, outcome = %(outcome)s, next_attempt_at = now() + make_interval(secs => %(delay)s)
WHERE tenant_id = %(tenant_id)s
  AND endpoint_id = %(endpoint_id)s
  AND message_id = %(message_id)s
  AND state = 'pending'
  AND next_attempt_at = %(leased_until)s
