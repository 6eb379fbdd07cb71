-- Whether this session is now the one that builds the vector index.
SELECT pg_try_advisory_lock(hashtextextended('pincite::vector-index', 0))
