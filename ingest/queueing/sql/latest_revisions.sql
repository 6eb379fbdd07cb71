-- The state of each of these documents that counts: the one on its way, else the one handed in last.
SELECT DISTINCT ON (document_id)
       revision_id, job_id, position, document_id, uri, state, attempts, due_at, version, error_code, error_message,
       submitted_at, settled_at, title, language, acl, metadata
FROM revisions
WHERE tenant_id = %(tenant_id)s AND document_id = ANY (%(document_ids)s::uuid[])
ORDER BY document_id, state IN ('queued', 'running') DESC, submitted_at DESC, revision_id DESC
