-- The documents as they stand, inside the writer's turn.
SELECT uri, document_id, version
FROM documents
WHERE tenant_id = %(tenant_id)s AND uri = ANY (%(uris)s::text[])
