DELETE FROM sync_items
WHERE tenant_id = %(tenant_id)s AND source = %(source)s AND uri = ANY (%(uris)s::text[])
