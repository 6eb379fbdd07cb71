-- What is stored of these documents, but for their texts.
SELECT documents.document_id, documents.uri, documents.title, documents.acl, documents.metadata, documents.language,
       documents.content_type, documents.version, coalesce(cut.chunk_count, 0) AS chunk_count, documents.updated_at
FROM documents
LEFT JOIN cut_documents AS cut ON cut.tenant_id = documents.tenant_id AND cut.document_id = documents.document_id
WHERE documents.tenant_id = %(tenant_id)s AND documents.document_id = ANY (%(document_ids)s::uuid[])
