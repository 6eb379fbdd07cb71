-- No row: the tenant is not known, or has as many as it may.
INSERT INTO webhook_endpoints (tenant_id, endpoint_id, url, events)
SELECT tenants.tenant_id, %(endpoint_id)s, %(url)s, %(events)s
FROM tenants
WHERE tenants.tenant_id = %(tenant_id)s
  AND (SELECT count(*) FROM webhook_endpoints WHERE webhook_endpoints.tenant_id = %(tenant_id)s) < %(most)s
