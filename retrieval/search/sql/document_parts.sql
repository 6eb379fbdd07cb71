-- A document's chunks from one on, in its order, if the caller may see it: those that match, as they stand now.
SELECT chunks.document_id,
       chunks.ordinal,
       documents.uri,
       documents.title,
       documents.version,
       chunks.heading_path,
       chunks.sections,
       chunks.lead,
       chunks.text,
       chunks.char_start,
       chunks.char_end,
       chunks.first_page,
       chunks.last_page,
       chunks.page_starts
FROM documents
JOIN chunks ON chunks.tenant_id = %(tenant_id)s AND chunks.document_id = documents.document_id
LEFT JOIN document_fields AS described
       ON described.tenant_id = documents.tenant_id AND described.document_id = documents.document_id
WHERE documents.tenant_id = %(tenant_id)s
  AND documents.document_id = %(document_id)s
  AND documents.acl && %(principals)s::text[]
  AND chunks.ordinal >= %(start)s
  AND (%(document_filter)s::jsonpath IS NULL
       OR jsonb_path_match(described.fields, %(document_filter)s::jsonpath, %(filter_values)s::jsonb, true))
  AND (%(chunk_filter)s::jsonpath IS NULL
       OR jsonb_path_match(
           CASE WHEN %(place_alone)s::boolean THEN jsonb_build_object() ELSE described.fields END
           || pincite_place(chunks.first_page, chunks.last_page, chunks.heading_path, chunks.sections),
           %(chunk_filter)s::jsonpath, %(filter_values)s::jsonb, true
       ))
ORDER BY chunks.ordinal
LIMIT %(limit)s
