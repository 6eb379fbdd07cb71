-- Documents that say they were cut into another number of chunks than there are.
SELECT cut.document_id
FROM cut_documents AS cut
LEFT JOIN (
    SELECT document_id, count(*) AS chunk_count FROM chunks WHERE tenant_id = %(tenant_id)s GROUP BY document_id
) AS counted ON counted.document_id = cut.document_id
WHERE cut.tenant_id = %(tenant_id)s AND cut.chunk_count <> coalesce(counted.chunk_count, 0)
LIMIT %(most)s
