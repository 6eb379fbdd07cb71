-- A visible document's chunks with both legs' exact scores, and which of the question's words each of them holds.
SELECT embeddings.ordinal,
       coalesce(-(embeddings.embedding <#> %(embedding)s::halfvec), 0) AS cosine,
       -(terms.weights <#> %(question_weights)s::sparsevec) AS bm25,
       ARRAY(
           SELECT asked.term_key
           FROM unnest(%(term_keys)s::bigint[]) AS asked (term_key)
           WHERE asked.term_key = ANY (terms.term_keys)
       ) AS term_keys
FROM documents
JOIN embeddings ON embeddings.tenant_id = %(tenant_id)s AND embeddings.document_id = documents.document_id
JOIN chunk_terms AS terms ON terms.tenant_id = %(tenant_id)s AND terms.document_id = documents.document_id
                         AND terms.ordinal = embeddings.ordinal
WHERE documents.tenant_id = %(tenant_id)s
  AND documents.document_id = %(document_id)s
  AND documents.acl && %(principals)s::text[]
ORDER BY embeddings.ordinal
