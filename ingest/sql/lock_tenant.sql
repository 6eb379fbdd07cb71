-- Writers of one tenant take turns: word statistics are shared rows, and two replacements could deadlock on them.
-- The index's own locks are named after `pincite::`, as no tenant can be.
SELECT pg_advisory_xact_lock(hashtextextended('pincite:' || %(tenant_id)s, 0))
