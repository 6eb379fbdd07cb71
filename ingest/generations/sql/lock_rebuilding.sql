-- Whether this session is now the only one that builds or moves generations.
SELECT pg_try_advisory_lock(hashtextextended('pincite::rebuilding', 0))
