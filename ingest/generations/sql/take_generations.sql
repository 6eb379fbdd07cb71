-- Writers wait from here on, and those at work have been waited for.
SELECT pg_advisory_xact_lock(hashtextextended('pincite::generations', 0))
