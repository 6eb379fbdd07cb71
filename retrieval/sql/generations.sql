-- Every generation of the index that is there, oldest first.
SELECT generation_id, embedder, dimensions, opening, state FROM generations WHERE state <> 'dropped' ORDER BY generation_id
