-- Stored documents that fit a filter, whoever may see them.
SELECT documents.document_id, documents.uri
FROM documents
JOIN document_fields AS described
  ON described.tenant_id = documents.tenant_id AND described.document_id = documents.document_id
WHERE documents.tenant_id = %(tenant_id)s
  AND (%(document_filter)s::jsonpath IS NULL
       OR jsonb_path_match(described.fields, %(document_filter)s::jsonpath, %(filter_values)s::jsonb, true))
ORDER BY documents.uri
LIMIT %(most)s
