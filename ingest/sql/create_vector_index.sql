-- ef_construction 64 caps recall at .91-.96 whatever ef_search does; 200 reaches 1.0 for 1.3-2 times the build.
CREATE INDEX CONCURRENTLY IF NOT EXISTS {index_name}
ON embeddings USING hnsw ((embedding::halfvec({dimensions})) halfvec_ip_ops)
WITH (m = 16, ef_construction = 200)
WHERE tenant_id = {tenant_id}
