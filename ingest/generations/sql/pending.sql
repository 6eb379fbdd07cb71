-- How many of the tenant's documents this generation does not hold as they are, and how many could not be cut for it.
SELECT count(*) FILTER (WHERE cut.version IS DISTINCT FROM documents.version) AS documents,
       count(*) FILTER (WHERE cut.problem <> '') AS problems
FROM documents
LEFT JOIN cut_documents AS cut ON cut.tenant_id = documents.tenant_id AND cut.document_id = documents.document_id
WHERE documents.tenant_id = %(tenant_id)s
