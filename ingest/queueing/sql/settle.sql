-- The ends of documents that this claim still holds: one that was superseded, cancelled or taken for lost is another's.
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
SET state = ended.state, error_code = ended.error_code, error_message = ended.error_message, settled_at = %(moment)s,
    claim_id = NULL, turn_id = NULL
FROM unnest(%(revision_ids)s::uuid[], %(states)s::text[], %(error_codes)s::text[], %(error_messages)s::text[])
     AS ended (revision_id, state, error_code, error_message)
WHERE revisions.tenant_id = %(tenant_id)s
  AND revisions.revision_id = ended.revision_id
  AND revisions.revision_id IN (SELECT revision_id FROM held)
RETURNING revisions.revision_id, revisions.document_id, revisions.job_id, revisions.uri, revisions.state,
          revisions.error_code, revisions.bytes, revisions.submitted_at
