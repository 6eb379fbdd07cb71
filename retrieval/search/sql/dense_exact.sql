-- Every visible chunk compared with the question. Sorted by the similarity, which no index serves: always exact.
SELECT embeddings.document_id,
       embeddings.ordinal,
       -(embeddings.embedding <#> %(embedding)s::halfvec) AS score
FROM embeddings
JOIN documents ON documents.tenant_id = embeddings.tenant_id AND documents.document_id = embeddings.document_id
WHERE embeddings.tenant_id = %(tenant_id)s
  AND documents.tenant_id = %(tenant_id)s
  AND documents.acl && %(principals)s::text[]
ORDER BY score DESC, embeddings.document_id, embeddings.ordinal
LIMIT %(limit)s
