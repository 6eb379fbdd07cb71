-- The documents under each principal that may see them.
INSERT INTO grants (tenant_id, principal, document_id)
SELECT DISTINCT documents.tenant_id, principal, documents.document_id
FROM documents CROSS JOIN LATERAL unnest(documents.acl) AS principal
WHERE documents.tenant_id = %(tenant_id)s AND documents.document_id = ANY (%(document_ids)s::uuid[])
