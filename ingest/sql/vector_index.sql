-- The vector index, if there is one, and whether it may be used: a build that was killed leaves an invalid one.
SELECT indisvalid AS valid FROM pg_index WHERE indexrelid = to_regclass('embeddings_hnsw')
