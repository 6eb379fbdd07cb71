-- Visible chunks that hold any of the words, best BM25 first.
SELECT terms.document_id,
       terms.ordinal,
       -(terms.weights <#> %(question_weights)s::sparsevec) AS score
FROM chunk_terms AS terms
JOIN documents ON documents.tenant_id = terms.tenant_id AND documents.document_id = terms.document_id
WHERE terms.tenant_id = %(tenant_id)s
  AND terms.term_keys && %(term_keys)s::bigint[]
  AND documents.tenant_id = %(tenant_id)s
  AND documents.acl && %(principals)s::text[]
ORDER BY score DESC, terms.document_id, terms.ordinal
LIMIT %(limit)s
