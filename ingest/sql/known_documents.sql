-- What the tenant already has, to tell what is new, changed, unchanged or gone. What the live generation could not be
-- made of by `pincite reembed` is of no recipe: its next ingest makes it anew.
SELECT documents.uri, documents.document_id, documents.fingerprint, documents.acl, documents.metadata,
       CASE WHEN cut.problem = '' THEN cut.recipe ELSE '' END AS recipe
FROM documents
LEFT JOIN cut_documents AS cut ON cut.tenant_id = documents.tenant_id AND cut.document_id = documents.document_id
WHERE documents.tenant_id = %(tenant_id)s
