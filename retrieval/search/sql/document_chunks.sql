-- A visible document's chunks that match, with both legs' exact scores, and which of the question's words each holds.
SELECT embeddings.ordinal,
       coalesce(-(embeddings.embedding <#> %(embedding)s::halfvec), 0) AS cosine,
       -(terms.weights <#> %(question_weights)s::sparsevec) AS bm25,
       ARRAY(
           SELECT asked.term_key
           FROM unnest(%(term_keys)s::bigint[]) AS asked (term_key)
           WHERE asked.term_key = ANY (terms.term_keys)
       ) AS term_keys
FROM documents
JOIN embeddings ON embeddings.tenant_id = %(tenant_id)s AND embeddings.document_id = documents.document_id
JOIN chunk_terms AS terms ON terms.tenant_id = %(tenant_id)s AND terms.document_id = documents.document_id
                         AND terms.ordinal = embeddings.ordinal
LEFT JOIN document_fields AS described
       ON described.tenant_id = documents.tenant_id AND described.document_id = documents.document_id
LEFT JOIN chunks ON chunks.tenant_id = %(tenant_id)s AND chunks.document_id = documents.document_id
                AND chunks.ordinal = embeddings.ordinal
WHERE documents.tenant_id = %(tenant_id)s
  AND documents.document_id = %(document_id)s
  AND documents.acl && %(principals)s::text[]
  AND (%(document_filter)s::jsonpath IS NULL
       OR jsonb_path_match(described.fields, %(document_filter)s::jsonpath, %(filter_values)s::jsonb, true))
  AND (%(chunk_filter)s::jsonpath IS NULL
       OR jsonb_path_match(
           CASE WHEN %(place_alone)s::boolean THEN jsonb_build_object() ELSE described.fields END
           || pincite_place(chunks.first_page, chunks.last_page, chunks.heading_path, chunks.sections),
           %(chunk_filter)s::jsonpath, %(filter_values)s::jsonb, true
       ))
ORDER BY embeddings.ordinal
