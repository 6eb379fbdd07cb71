-- How many chunks the tenant has in this language.
INSERT INTO language_statistics AS known (tenant_id, language, chunk_count)
VALUES (%(tenant_id)s, %(language)s, %(sign)s * %(chunk_count)s)
ON CONFLICT (tenant_id, language) DO UPDATE SET chunk_count = known.chunk_count + excluded.chunk_count
