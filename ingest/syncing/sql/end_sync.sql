UPDATE sync_sources SET outcome = %(outcome)s WHERE tenant_id = %(tenant_id)s AND source = %(source)s
