-- No row: there is no such endpoint.
INSERT INTO webhook_secrets (tenant_id, endpoint_id, secret_id, secret)
SELECT webhook_endpoints.tenant_id, webhook_endpoints.endpoint_id, %(secret_id)s, %(secret)s
FROM webhook_endpoints
WHERE webhook_endpoints.tenant_id = %(tenant_id)s AND webhook_endpoints.endpoint_id = %(endpoint_id)s
