-- One document, if the caller may see it.
SELECT documents.document_id, documents.uri, documents.title, documents.content AS text, documents.content_type,
       documents.language, documents.metadata, documents.page_starts, documents.version,
       coalesce(cut.chunk_count, 0) AS chunk_count, documents.updated_at
FROM documents
LEFT JOIN cut_documents AS cut ON cut.tenant_id = documents.tenant_id AND cut.document_id = documents.document_id
WHERE documents.tenant_id = %(tenant_id)s
  AND documents.document_id = %(document_id)s
  AND documents.acl && %(principals)s::text[]
