-- Visible chunks that hold all of the words, best BM25 first. The words are looked up apart from the join: joined on
-- tenant_id, the policy of `documents` would reach over, and `@>`, not being leakproof, would lose its GIN index.
WITH found AS MATERIALIZED (
    SELECT document_id, ordinal, weights
    FROM chunk_terms
    WHERE tenant_id = %(tenant_id)s AND term_keys @> %(term_keys)s::bigint[]
)
SELECT found.document_id,
       found.ordinal,
       -(found.weights <#> %(question_weights)s::sparsevec) AS score
FROM found
JOIN documents ON documents.document_id = found.document_id
WHERE documents.tenant_id = %(tenant_id)s
  AND documents.acl && %(principals)s::text[]
ORDER BY score DESC, found.document_id, found.ordinal
LIMIT %(limit)s
