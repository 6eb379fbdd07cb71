-- Visible chunks that match and hold any of the words, best BM25 first. The words are looked up apart from the
-- join: joined on tenant_id, the policy of `documents` would reach over, and `&&`, not being leakproof, would lose its GIN index.
WITH found AS MATERIALIZED (
    SELECT document_id, ordinal, weights
    FROM chunk_terms
    WHERE tenant_id = %(tenant_id)s AND term_keys && %(term_keys)s::bigint[]
)
SELECT found.document_id,
       found.ordinal,
       -(found.weights <#> %(question_weights)s::sparsevec) AS score
FROM found
JOIN documents ON documents.document_id = found.document_id
LEFT JOIN document_fields AS described
       ON described.tenant_id = documents.tenant_id AND described.document_id = documents.document_id
LEFT JOIN chunks ON chunks.tenant_id = %(tenant_id)s AND chunks.document_id = found.document_id
                AND chunks.ordinal = found.ordinal
WHERE documents.tenant_id = %(tenant_id)s
  AND documents.acl && %(principals)s::text[]
  AND (%(document_filter)s::jsonpath IS NULL
       OR jsonb_path_match(described.fields, %(document_filter)s::jsonpath, %(filter_values)s::jsonb, true))
  AND (%(chunk_filter)s::jsonpath IS NULL
       OR jsonb_path_match(
           CASE WHEN %(place_alone)s::boolean THEN jsonb_build_object() ELSE described.fields END
           || pincite_place(chunks.first_page, chunks.last_page, chunks.heading_path, chunks.sections),
           %(chunk_filter)s::jsonpath, %(filter_values)s::jsonb, true
       ))
ORDER BY score DESC, found.document_id, found.ordinal
LIMIT %(limit)s
