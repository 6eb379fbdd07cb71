-- What is stored of these documents, to tell what is new, changed or unchanged.
SELECT uri, document_id, fingerprint, acl, metadata
FROM documents
WHERE tenant_id = %(tenant_id)s AND document_id = ANY (%(document_ids)s::uuid[])
