-- The first model to write makes the first generation.
INSERT INTO generations (generation_id, embedder, dimensions)
SELECT 1, %(embedder)s, %(dimensions)s
WHERE NOT EXISTS (SELECT FROM generations)
ON CONFLICT (generation_id) DO NOTHING
