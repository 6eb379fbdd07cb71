-- Every tenant's own vector index, whole or the ruin of one.
SELECT pg_class.relname AS name, pg_index.indisvalid AS valid, pg_get_indexdef(pg_class.oid) AS definition
FROM pg_index
JOIN pg_class ON pg_class.oid = pg_index.indexrelid
WHERE pg_class.relname LIKE 'embeddings\_hnsw\_%%'
