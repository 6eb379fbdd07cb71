-- Nothing of their secrets.
SELECT endpoint_id, url, events, enabled, failures, created_at
FROM webhook_endpoints
WHERE tenant_id = %(tenant_id)s
ORDER BY created_at, endpoint_id
