-- Numbers are never used again: who still reads a dropped generation must not find another model's there.
INSERT INTO generations (generation_id, embedder, dimensions, opening, state)
SELECT max(generation_id) + 1, %(embedder)s, %(dimensions)s, %(opening)s, 'building' FROM generations
RETURNING generation_id, embedder, dimensions, opening, state
