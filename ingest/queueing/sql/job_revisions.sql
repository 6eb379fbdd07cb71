-- A job's documents in their order, after one of them, of some states or of all.
SELECT revision_id, job_id, position, document_id, uri, state, attempts, due_at, version, error_code, error_message,
       submitted_at, settled_at
FROM revisions
WHERE tenant_id = %(tenant_id)s
  AND job_id = %(job_id)s
  AND position > %(after)s
  AND (%(states)s::text[] IS NULL OR state = ANY (%(states)s))
ORDER BY position
LIMIT %(most)s
