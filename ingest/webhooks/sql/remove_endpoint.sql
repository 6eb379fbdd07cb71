DELETE FROM webhook_endpoints WHERE tenant_id = %(tenant_id)s AND endpoint_id = %(endpoint_id)s
