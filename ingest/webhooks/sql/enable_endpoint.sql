-- As if it had never failed.
UPDATE webhook_endpoints
SET enabled = true, failures = 0, resting_until = now()
WHERE tenant_id = %(tenant_id)s AND endpoint_id = %(endpoint_id)s
