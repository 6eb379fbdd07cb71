SELECT count(*) AS found
FROM (
    SELECT documents.language, sum(cut.chunk_count) AS chunk_count
    FROM cut_documents AS cut
    JOIN documents ON documents.tenant_id = cut.tenant_id AND documents.document_id = cut.document_id
    WHERE cut.tenant_id = %(tenant_id)s
    GROUP BY documents.language
) AS counted
FULL JOIN (SELECT language, chunk_count FROM language_statistics WHERE tenant_id = %(tenant_id)s) AS known
       USING (language)
WHERE coalesce(counted.chunk_count, 0) <> coalesce(known.chunk_count, 0)
