-- A document's state, inside the writer's turn.
SELECT uri, version, acl, metadata, updated_at
FROM documents
WHERE tenant_id = %(tenant_id)s AND document_id = %(document_id)s
