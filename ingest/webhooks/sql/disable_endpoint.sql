UPDATE webhook_endpoints SET enabled = false WHERE tenant_id = %(tenant_id)s AND endpoint_id = %(endpoint_id)s
