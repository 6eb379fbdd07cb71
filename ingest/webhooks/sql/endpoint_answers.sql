UPDATE webhook_endpoints
SET failures = 0, resting_until = now()
WHERE tenant_id = %(tenant_id)s AND endpoint_id = %(endpoint_id)s AND failures > 0
