-- Who moves the index to another generation waits for all writers, and they for it.
SELECT pg_advisory_xact_lock_shared(hashtextextended('pincite::generations', 0))
