-- Documents with a vector that is of another length than the index, or of none.
SELECT DISTINCT document_id
FROM embeddings
WHERE tenant_id = %(tenant_id)s AND (vector_dims(embedding) <> %(dimensions)s OR l2_norm(embedding) = 0)
LIMIT %(most)s
