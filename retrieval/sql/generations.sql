-- Every generation of the index, oldest first.
SELECT generation_id, embedder, dimensions, opening, state FROM generations ORDER BY generation_id
