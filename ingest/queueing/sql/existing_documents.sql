-- Those of the documents that are stored, on their way or failed.
SELECT document_id, uri
FROM documents
WHERE tenant_id = %(tenant_id)s AND document_id = ANY (%(document_ids)s::uuid[])
UNION
SELECT document_id, uri
FROM revisions
WHERE tenant_id = %(tenant_id)s
  AND document_id = ANY (%(document_ids)s::uuid[])
  AND state IN ('queued', 'running', 'failed')
