SELECT count(*) AS found
FROM (
    SELECT grants.principal, sum(cut.chunk_count) AS chunk_count
    FROM grants
    JOIN cut_documents AS cut ON cut.tenant_id = grants.tenant_id AND cut.document_id = grants.document_id
    WHERE grants.tenant_id = %(tenant_id)s
    GROUP BY grants.principal
) AS counted
FULL JOIN (SELECT principal, chunk_count FROM principal_statistics WHERE tenant_id = %(tenant_id)s) AS known
       USING (principal)
WHERE coalesce(counted.chunk_count, 0) <> coalesce(known.chunk_count, 0)
