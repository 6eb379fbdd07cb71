DELETE FROM webhook_secrets WHERE tenant_id = %(tenant_id)s AND valid_until <= now()
