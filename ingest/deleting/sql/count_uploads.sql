-- Bytes of states of the documents that were handed in.
SELECT count(*) AS rows
FROM uploads
JOIN revisions ON revisions.tenant_id = uploads.tenant_id AND revisions.revision_id = uploads.revision_id
WHERE uploads.tenant_id = %(tenant_id)s AND revisions.document_id = ANY (%(document_ids)s::uuid[])
