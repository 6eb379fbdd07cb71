-- The HNSW index walked until enough visible chunks are found. Relaxed order, so: take more, sort again; by the score,
-- because by the distance Postgres takes the walk for sorted, and stops it as soon as it has the limit.
SELECT nearest.document_id, nearest.ordinal, -nearest.distance AS score
FROM (
    SELECT embeddings.document_id,
           embeddings.ordinal,
           embeddings.embedding::halfvec({dimensions}) <#> %(embedding)s::halfvec({dimensions}) AS distance
    FROM embeddings
    JOIN documents ON documents.tenant_id = embeddings.tenant_id AND documents.document_id = embeddings.document_id
    WHERE embeddings.tenant_id = %(tenant_id)s
      AND documents.tenant_id = %(tenant_id)s
      AND documents.acl && %(principals)s::text[]
    ORDER BY distance
    LIMIT %(walk_limit)s
) AS nearest
ORDER BY score DESC, nearest.document_id, nearest.ordinal
LIMIT %(limit)s
