-- What messages were signed with until now is good for a while longer; what was on its way out goes on its way.
UPDATE webhook_secrets
SET valid_until = now() + make_interval(secs => %(overlap)s)
WHERE tenant_id = %(tenant_id)s AND endpoint_id = %(endpoint_id)s AND valid_until = 'infinity'
