-- Every visible chunk that matches and holds any of the words, reached through the caller's grants, best BM25 first;
-- the document's own list decides. Asked by the score, which no index serves: the words are too common for theirs.
SELECT found.document_id, found.ordinal, found.score
FROM (
    SELECT terms.document_id, terms.ordinal, -(terms.weights <#> %(question_weights)s::sparsevec) AS score
    FROM (
        SELECT DISTINCT grants.document_id
        FROM grants
        WHERE grants.tenant_id = %(tenant_id)s AND grants.principal = ANY (%(principals)s::text[])
    ) AS granted
    JOIN documents ON documents.tenant_id = %(tenant_id)s AND documents.document_id = granted.document_id
    JOIN chunk_terms AS terms ON terms.tenant_id = %(tenant_id)s AND terms.document_id = granted.document_id
    LEFT JOIN document_fields AS described
           ON described.tenant_id = documents.tenant_id AND described.document_id = documents.document_id
    LEFT JOIN chunks ON chunks.tenant_id = %(tenant_id)s AND chunks.document_id = terms.document_id
                    AND chunks.ordinal = terms.ordinal
    WHERE documents.acl && %(principals)s::text[]
      AND (%(document_filter)s::jsonpath IS NULL
           OR jsonb_path_match(described.fields, %(document_filter)s::jsonpath, %(filter_values)s::jsonb, true))
      AND (%(chunk_filter)s::jsonpath IS NULL
           OR jsonb_path_match(
               CASE WHEN %(place_alone)s::boolean THEN jsonb_build_object() ELSE described.fields END
               || pincite_place(chunks.first_page, chunks.last_page, chunks.heading_path, chunks.sections),
               %(chunk_filter)s::jsonpath, %(filter_values)s::jsonb, true
           ))
) AS found
WHERE found.score > 0
ORDER BY found.score DESC, found.document_id, found.ordinal
LIMIT %(limit)s
