SELECT count(*) AS found
FROM (
    SELECT language, sum(chunk_count) AS chunk_count FROM documents WHERE tenant_id = %(tenant_id)s GROUP BY language
) AS counted
FULL JOIN (SELECT language, chunk_count FROM language_statistics WHERE tenant_id = %(tenant_id)s) AS known
       USING (language)
WHERE coalesce(counted.chunk_count, 0) <> coalesce(known.chunk_count, 0)
