-- The tenant's nearest chunks by its HNSW index, whoever may see them; then those that the caller may see and that match.
-- Whatever is nearer than the last of them is among them, so they are the caller's best. Nothing, where they are fewer than
-- expected. Sorted by the score: by the distance Postgres takes the walk, whose order is relaxed, for sorted already.
SELECT found.document_id, found.ordinal, found.score
FROM (
    SELECT nearest.document_id, nearest.ordinal, -nearest.distance AS score, count(*) OVER () AS visible
    FROM (
        SELECT embeddings.document_id,
               embeddings.ordinal,
               embeddings.embedding::halfvec({dimensions}) <#> %(embedding)s::halfvec({dimensions}) AS distance
        FROM embeddings
        WHERE embeddings.tenant_id = %(tenant_id)s
        ORDER BY distance
        LIMIT %(walked)s
    ) AS nearest
    JOIN documents ON documents.tenant_id = %(tenant_id)s AND documents.document_id = nearest.document_id
    LEFT JOIN document_fields AS described
           ON described.tenant_id = documents.tenant_id AND described.document_id = documents.document_id
    LEFT JOIN chunks ON chunks.tenant_id = %(tenant_id)s AND chunks.document_id = nearest.document_id
                    AND chunks.ordinal = nearest.ordinal
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
WHERE found.visible >= %(expected)s
ORDER BY found.score DESC, found.document_id, found.ordinal
LIMIT %(limit)s
