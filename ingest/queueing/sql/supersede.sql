-- Earlier states of the documents that nobody needs any more: the worker that has one finds it is no longer its own.
WITH outdated AS (
    SELECT revision_id
    FROM revisions
    WHERE tenant_id = %(tenant_id)s
      AND document_id = ANY (%(document_ids)s::uuid[])
      AND state IN ('queued', 'running')
    ORDER BY revision_id
    FOR UPDATE
)
UPDATE revisions
SET state = %(state)s, claim_id = NULL, turn_id = NULL, settled_at = %(moment)s
WHERE tenant_id = %(tenant_id)s AND revision_id IN (SELECT revision_id FROM outdated)
RETURNING revision_id, document_id, job_id, uri, state, error_code, bytes, submitted_at
