-- What is stored of these documents, but for their texts.
SELECT document_id, uri, title, acl, metadata, language, content_type, version, chunk_count, updated_at
FROM documents
WHERE tenant_id = %(tenant_id)s AND document_id = ANY (%(document_ids)s::uuid[])
