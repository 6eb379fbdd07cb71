-- Before its deliveries, as who removes it takes them.
SELECT endpoint_id
FROM webhook_endpoints
WHERE tenant_id = %(tenant_id)s AND endpoint_id = %(endpoint_id)s
FOR NO KEY UPDATE
