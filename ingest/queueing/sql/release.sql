-- What a turn that is over held waits again, at its old place.
WITH held AS (
    SELECT revision_id
    FROM revisions
    WHERE tenant_id = %(tenant_id)s AND turn_id = %(turn_id)s AND state = 'running'
    ORDER BY revision_id
    FOR UPDATE
)
UPDATE revisions
SET state = 'queued', claim_id = NULL, turn_id = NULL, losses = losses + %(losses)s
WHERE tenant_id = %(tenant_id)s AND revision_id IN (SELECT revision_id FROM held)
