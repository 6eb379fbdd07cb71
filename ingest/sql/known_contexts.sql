-- What a model wrote before of where these chunks stand.
SELECT key, context
FROM chunk_contexts
WHERE tenant_id = %(tenant_id)s AND document_id = %(document_id)s AND key = ANY (%(keys)s::bytea[])
