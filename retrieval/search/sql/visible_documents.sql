-- Documents the caller may see, by address: those that match, or of which a chunk does, and that are called so.
SELECT documents.document_id, documents.version, documents.title, documents.uri
FROM documents
LEFT JOIN document_fields AS described
       ON described.tenant_id = documents.tenant_id AND described.document_id = documents.document_id
WHERE documents.tenant_id = %(tenant_id)s
  AND documents.document_id = ANY (ARRAY(
      SELECT grants.document_id
      FROM grants
      WHERE grants.tenant_id = %(tenant_id)s AND grants.principal = ANY (%(principals)s::text[])
  ))
  AND documents.acl && %(principals)s::text[]
  AND (%(containing)s = '' OR position(lower(%(containing)s) IN lower(documents.title || ' ' || documents.uri)) > 0)
  AND (%(document_filter)s::jsonpath IS NULL
       OR jsonb_path_match(described.fields, %(document_filter)s::jsonpath, %(filter_values)s::jsonb, true))
  AND (%(chunk_filter)s::jsonpath IS NULL OR EXISTS (
      SELECT FROM chunks
      WHERE chunks.tenant_id = %(tenant_id)s
        AND chunks.document_id = documents.document_id
        AND jsonb_path_match(
            CASE WHEN %(place_alone)s::boolean THEN jsonb_build_object() ELSE described.fields END
            || pincite_place(chunks.first_page, chunks.last_page, chunks.heading_path, chunks.sections),
            %(chunk_filter)s::jsonpath, %(filter_values)s::jsonb, true
        )
  ))
ORDER BY documents.uri
LIMIT %(limit)s OFFSET %(start)s
