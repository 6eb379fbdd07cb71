-- What of these documents failed waits again: of one job, or all; none that a later state has replaced since, whether it was
-- handed in or stored by other means, and none whose bytes are gone. Documents are locked before: what fails only now may
-- have a later state that nobody sees yet.
WITH again AS (
    SELECT failed.revision_id
    FROM revisions AS failed
    WHERE failed.tenant_id = %(tenant_id)s
      AND failed.document_id = ANY (%(document_ids)s::uuid[])
      AND failed.state = 'failed'
      AND (%(job_id)s::uuid IS NULL OR failed.job_id = %(job_id)s)
      AND NOT EXISTS (
          SELECT
          FROM revisions AS later
          WHERE later.tenant_id = %(tenant_id)s
            AND later.document_id = failed.document_id
            AND (later.submitted_at, later.revision_id) > (failed.submitted_at, failed.revision_id)
      )
      AND NOT EXISTS (
          SELECT
          FROM documents
          WHERE documents.tenant_id = %(tenant_id)s
            AND documents.document_id = failed.document_id
            AND documents.version > coalesce(failed.version, 0)
      )
      AND (failed.url IS NOT NULL OR EXISTS (
          SELECT
          FROM uploads
          WHERE uploads.tenant_id = %(tenant_id)s AND uploads.revision_id = failed.revision_id
      ))
    ORDER BY failed.revision_id
    FOR UPDATE OF failed
)
UPDATE revisions
SET state = 'queued', losses = 0, due_at = %(moment)s, settled_at = NULL, error_code = NULL, error_message = NULL
WHERE tenant_id = %(tenant_id)s AND revision_id IN (SELECT revision_id FROM again)
RETURNING revision_id, document_id, job_id, uri, state, error_code, bytes, submitted_at
