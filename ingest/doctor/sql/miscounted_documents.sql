-- Documents that say they have another number of chunks than there are.
SELECT documents.document_id
FROM documents
LEFT JOIN (
    SELECT document_id, count(*) AS chunk_count FROM chunks WHERE tenant_id = %(tenant_id)s GROUP BY document_id
) AS counted ON counted.document_id = documents.document_id
WHERE documents.tenant_id = %(tenant_id)s AND documents.chunk_count <> coalesce(counted.chunk_count, 0)
LIMIT %(most)s
