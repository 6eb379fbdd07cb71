-- Every tenant's own vector indexes, whole or the ruin of one.
SELECT pg_namespace.nspname AS schema, pg_class.relname AS name, pg_index.indisvalid AS valid,
       pg_get_indexdef(pg_class.oid) AS definition
FROM pg_index
JOIN pg_class ON pg_class.oid = pg_index.indexrelid
JOIN pg_namespace ON pg_namespace.oid = pg_class.relnamespace
WHERE pg_class.relname LIKE 'embeddings\_hnsw\_%%'
