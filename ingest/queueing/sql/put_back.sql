-- Back into the line, to be taken from `due_at` on; what this claim no longer holds is another's.
WITH held AS (
    SELECT revision_id
    FROM revisions
    WHERE tenant_id = %(tenant_id)s
      AND revision_id = ANY (%(revision_ids)s::uuid[])
      AND state = 'running'
      AND claim_id = %(claim_id)s
    ORDER BY revision_id
    FOR UPDATE
)
UPDATE revisions
SET state = 'queued', claim_id = NULL, turn_id = NULL, due_at = %(due_at)s, error_code = %(error_code)s,
    error_message = %(error_message)s
WHERE tenant_id = %(tenant_id)s AND revision_id IN (SELECT revision_id FROM held)
