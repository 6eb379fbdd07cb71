-- A document's states as they were handed in, the newest first.
SELECT revision_id, job_id, position, document_id, uri, state, attempts, due_at, version, error_code, error_message,
       submitted_at, settled_at
FROM revisions
WHERE tenant_id = %(tenant_id)s AND document_id = %(document_id)s
ORDER BY submitted_at DESC, revision_id DESC
LIMIT %(most)s
