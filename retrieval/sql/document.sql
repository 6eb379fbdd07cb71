-- One document, if the caller may see it.
SELECT document_id, uri, title, content AS text, content_type, language, metadata, page_starts, version, chunk_count,
       updated_at
FROM documents
WHERE tenant_id = %(tenant_id)s AND document_id = %(document_id)s AND acl && %(principals)s::text[]
