-- The model this database's vectors were made by.
SELECT embedder, dimensions FROM index_profile WHERE profile_id = 1
