-- What is stored of these documents, to tell what is new, changed or unchanged.
SELECT documents.uri, documents.document_id, documents.fingerprint, documents.acl, documents.metadata,
       coalesce(cut.recipe, '') AS recipe
FROM documents
LEFT JOIN cut_documents AS cut ON cut.tenant_id = documents.tenant_id AND cut.document_id = documents.document_id
WHERE documents.tenant_id = %(tenant_id)s AND documents.document_id = ANY (%(document_ids)s::uuid[])
