-- Documents that match a filter; of these alone, where any are named.
SELECT documents.document_id, coalesce(cut.chunk_count, 0) AS chunk_count
FROM documents
LEFT JOIN cut_documents AS cut ON cut.tenant_id = documents.tenant_id AND cut.document_id = documents.document_id
JOIN document_fields AS described
  ON described.tenant_id = documents.tenant_id AND described.document_id = documents.document_id
WHERE documents.tenant_id = %(tenant_id)s
  AND (%(among)s::uuid[] IS NULL OR documents.document_id = ANY (%(among)s::uuid[]))
  AND jsonb_path_match(described.fields, %(document_filter)s::jsonpath, %(filter_values)s::jsonb, true)
ORDER BY documents.document_id
