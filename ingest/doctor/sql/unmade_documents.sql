-- Documents that the generation does not hold as they are.
SELECT documents.document_id
FROM documents
LEFT JOIN cut_documents AS cut ON cut.tenant_id = documents.tenant_id AND cut.document_id = documents.document_id
WHERE documents.tenant_id = %(tenant_id)s AND cut.version IS DISTINCT FROM documents.version
LIMIT %(most)s
