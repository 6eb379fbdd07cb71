-- Whether this session is now the one that syncs the source.
SELECT pg_try_advisory_lock(hashtextextended('pincite:sync:' || %(tenant_id)s || '/' || %(source)s, 0))
