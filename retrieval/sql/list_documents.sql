-- Documents the caller may see, by uri, after one of them.
SELECT documents.document_id, documents.uri, documents.title, documents.content_type, documents.language,
       documents.metadata, documents.version, coalesce(cut.chunk_count, 0) AS chunk_count, documents.updated_at
FROM documents
LEFT JOIN cut_documents AS cut ON cut.tenant_id = documents.tenant_id AND cut.document_id = documents.document_id
LEFT JOIN document_fields AS described
       ON described.tenant_id = documents.tenant_id AND described.document_id = documents.document_id
WHERE documents.tenant_id = %(tenant_id)s
  AND documents.document_id = ANY (ARRAY(
      SELECT grants.document_id
      FROM grants
      WHERE grants.tenant_id = %(tenant_id)s AND grants.principal = ANY (%(principals)s::text[])
  ))
  AND documents.acl && %(principals)s::text[]
  AND documents.uri > %(after)s
  AND starts_with(documents.uri, %(prefix)s)
  AND (%(document_filter)s::jsonpath IS NULL
       OR jsonb_path_match(described.fields, %(document_filter)s::jsonpath, %(filter_values)s::jsonb, true))
ORDER BY documents.uri
LIMIT %(most)s
