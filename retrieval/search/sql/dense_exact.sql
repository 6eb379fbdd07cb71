-- Every visible chunk compared with the question, reached through the caller's grants; the document's own list decides.
-- Sorted by the similarity, which no index serves: always exact.
SELECT embeddings.document_id,
       embeddings.ordinal,
       -(embeddings.embedding <#> %(embedding)s::halfvec) AS score
FROM (
    SELECT DISTINCT grants.document_id
    FROM grants
    WHERE grants.tenant_id = %(tenant_id)s AND grants.principal = ANY (%(principals)s::text[])
) AS granted
JOIN documents ON documents.tenant_id = %(tenant_id)s AND documents.document_id = granted.document_id
JOIN embeddings ON embeddings.tenant_id = %(tenant_id)s AND embeddings.document_id = granted.document_id
WHERE documents.acl && %(principals)s::text[]
ORDER BY score DESC, embeddings.document_id, embeddings.ordinal
LIMIT %(limit)s
