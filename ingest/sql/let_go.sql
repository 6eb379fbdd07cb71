-- The session's own locks: a server notices only a moment later that a connection was closed.
SELECT pg_advisory_unlock_all()
