-- Nothing more is tried there.
UPDATE webhook_deliveries
SET state = 'failed', outcome = %(outcome)s
WHERE tenant_id = %(tenant_id)s AND endpoint_id = %(endpoint_id)s AND state = 'pending'
