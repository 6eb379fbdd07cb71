-- The documents as they stand, inside the writer's turn.
SELECT document_id, version
FROM documents
WHERE tenant_id = %(tenant_id)s AND document_id = ANY (%(document_ids)s::uuid[])
