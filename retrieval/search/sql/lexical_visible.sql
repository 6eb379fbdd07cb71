-- Every visible chunk that holds any of the words, reached through the caller's grants, best BM25 first; the document's
-- own list decides. Asked by the score, which no index serves: the words are too common for theirs.
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
    WHERE documents.acl && %(principals)s::text[]
) AS found
WHERE found.score > 0
ORDER BY found.score DESC, found.document_id, found.ordinal
LIMIT %(limit)s
