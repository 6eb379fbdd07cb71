-- The document as it stands, inside the writer's turn.
SELECT document_id, fingerprint, version, language, chunk_count
FROM documents
WHERE tenant_id = %(tenant_id)s AND uri = %(uri)s
