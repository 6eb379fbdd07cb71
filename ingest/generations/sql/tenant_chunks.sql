SELECT coalesce(sum(chunk_count), 0)::bigint AS chunks FROM language_statistics WHERE tenant_id = %(tenant_id)s
