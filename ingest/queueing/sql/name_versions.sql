-- Which version of its document each revision became.
UPDATE revisions
SET version = documents.version
FROM documents
WHERE revisions.tenant_id = %(tenant_id)s
  AND revisions.revision_id = ANY (%(revision_ids)s::uuid[])
  AND documents.tenant_id = %(tenant_id)s
  AND documents.document_id = revisions.document_id
