-- How many chunks the tenant has, by the count its planner goes by.
SELECT coalesce(sum(chunk_count), 0)::bigint AS found FROM language_statistics WHERE tenant_id = %(tenant_id)s
