-- The first model to write binds the database to itself.
INSERT INTO index_profile (profile_id, embedder, dimensions)
VALUES (1, %(embedder)s, %(dimensions)s)
ON CONFLICT (profile_id) DO NOTHING
