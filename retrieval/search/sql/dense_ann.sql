-- The HNSW index walked until enough visible chunks that match are found. Relaxed order, so: take more, sort again;
-- by the score, because by the distance Postgres takes the walk for sorted, and stops it as soon as it has the limit.
SELECT nearest.document_id, nearest.ordinal, -nearest.distance AS score
FROM (
    SELECT embeddings.document_id,
           embeddings.ordinal,
           embeddings.embedding::halfvec({dimensions}) <#> %(embedding)s::halfvec({dimensions}) AS distance
    FROM embeddings
    JOIN documents ON documents.tenant_id = embeddings.tenant_id AND documents.document_id = embeddings.document_id
    LEFT JOIN document_fields AS described
           ON described.tenant_id = documents.tenant_id AND described.document_id = documents.document_id
    LEFT JOIN chunks ON chunks.tenant_id = %(tenant_id)s AND chunks.document_id = embeddings.document_id
                    AND chunks.ordinal = embeddings.ordinal
    WHERE embeddings.tenant_id = %(tenant_id)s
      AND documents.tenant_id = %(tenant_id)s
      AND documents.acl && %(principals)s::text[]
      AND (%(document_filter)s::jsonpath IS NULL
           OR jsonb_path_match(described.fields, %(document_filter)s::jsonpath, %(filter_values)s::jsonb, true))
      AND (%(chunk_filter)s::jsonpath IS NULL
           OR jsonb_path_match(
               described.fields
               || pincite_place(chunks.first_page, chunks.last_page, chunks.heading_path, chunks.sections),
               %(chunk_filter)s::jsonpath, %(filter_values)s::jsonb, true
           ))
    ORDER BY distance
    LIMIT %(walk_limit)s
) AS nearest
ORDER BY score DESC, nearest.document_id, nearest.ordinal
LIMIT %(limit)s
