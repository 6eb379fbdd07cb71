-- The generation that answered before the live one, whichever was made last.
SELECT generation_id, embedder, dimensions, opening, state
FROM generations
WHERE state = 'retired'
ORDER BY changed_at DESC
LIMIT 1
