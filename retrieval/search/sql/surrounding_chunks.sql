-- The chunks near these in their documents' order, of documents that are still the same version: what the caller may
-- see, and what matches.
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
FROM unnest(%(document_ids)s::uuid[], %(versions)s::integer[], %(ordinals)s::integer[])
     AS found (document_id, version, ordinal)
JOIN documents ON documents.tenant_id = %(tenant_id)s AND documents.document_id = found.document_id
              AND documents.version = found.version
JOIN chunks ON chunks.tenant_id = %(tenant_id)s AND chunks.document_id = found.document_id
           AND chunks.ordinal BETWEEN found.ordinal - %(reach)s AND found.ordinal + %(reach)s
LEFT JOIN document_fields AS described
       ON described.tenant_id = documents.tenant_id AND described.document_id = documents.document_id
WHERE documents.acl && %(principals)s::text[]
  AND (%(document_filter)s::jsonpath IS NULL
       OR jsonb_path_match(described.fields, %(document_filter)s::jsonpath, %(filter_values)s::jsonb, true))
  AND (%(chunk_filter)s::jsonpath IS NULL
       OR jsonb_path_match(
           CASE WHEN %(place_alone)s::boolean THEN jsonb_build_object() ELSE described.fields END
           || pincite_place(chunks.first_page, chunks.last_page, chunks.heading_path, chunks.sections),
           %(chunk_filter)s::jsonpath, %(filter_values)s::jsonb, true
       ))
