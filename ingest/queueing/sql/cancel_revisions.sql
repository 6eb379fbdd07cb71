-- What of the job is not settled will not be.
WITH open AS (
    SELECT revision_id
    FROM revisions
    WHERE tenant_id = %(tenant_id)s AND job_id = %(job_id)s AND state IN ('queued', 'running')
    ORDER BY revision_id
    FOR UPDATE
)
UPDATE revisions
SET state = 'cancelled', claim_id = NULL, turn_id = NULL, settled_at = %(moment)s
WHERE tenant_id = %(tenant_id)s AND revision_id IN (SELECT revision_id FROM open)
RETURNING revision_id, document_id, job_id, uri, state, error_code, bytes, submitted_at
