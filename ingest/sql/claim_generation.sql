-- The first model to write makes the first generation. Whichever constraint another one meets: it was there first.
INSERT INTO generations (generation_id, embedder, dimensions)
SELECT 1, %(embedder)s, %(dimensions)s
WHERE NOT EXISTS (SELECT FROM generations)
ON CONFLICT DO NOTHING
