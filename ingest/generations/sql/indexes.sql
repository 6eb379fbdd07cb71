-- A table's indexes as they would be written, but for its keys' and the tenants' vector indexes.
SELECT pg_get_indexdef(pg_index.indexrelid, 0, true) AS definition
FROM pg_index
JOIN pg_class ON pg_class.oid = pg_index.indexrelid
JOIN pg_am ON pg_am.oid = pg_class.relam
WHERE pg_index.indrelid = %(table)s::regclass
  AND pg_am.amname <> 'hnsw'
  AND NOT EXISTS (SELECT FROM pg_constraint WHERE pg_constraint.conindid = pg_index.indexrelid)
