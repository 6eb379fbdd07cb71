-- The tenant's oldest waiting documents, as many as are embedded together. One that workers were lost with is taken alone:
-- whatever it does to them, it does to no other document. So is one that has to be fetched, and no two of a tenant at a
-- time: somebody else's server says how long that takes. None at all where the worker has enough of these.
WITH waiting AS (
    SELECT revision_id, url, bytes, losses, submitted_at, position
    FROM revisions
    WHERE tenant_id = %(tenant_id)s AND state = 'queued' AND due_at <= %(moment)s
      AND (url IS NULL OR %(fetching)s AND NOT EXISTS (
          SELECT
          FROM revisions AS fetched
          WHERE fetched.tenant_id = %(tenant_id)s AND fetched.state = 'running' AND fetched.url IS NOT NULL
      ))
    ORDER BY submitted_at, position
    LIMIT %(most)s
    FOR UPDATE OF revisions SKIP LOCKED
), ranked AS (
    SELECT revision_id,
           row_number() OVER line AS place,
           sum(bytes) OVER line - bytes AS bytes_before,
           sum(losses) OVER line AS losses_so_far,
           count(url) OVER line AS urls_so_far
    FROM waiting
    WINDOW line AS (ORDER BY submitted_at, position)
)
UPDATE revisions
SET state = 'running', attempts = attempts + 1, turn_id = %(turn_id)s, claim_id = %(claim_id)s, error_code = NULL,
    error_message = NULL
WHERE tenant_id = %(tenant_id)s
  AND revision_id IN (
      SELECT revision_id
      FROM ranked
      WHERE place = 1 OR (bytes_before < %(most_bytes)s AND losses_so_far = 0 AND urls_so_far = 0)
  )
RETURNING revision_id, claim_id, document_id, uri, file_name, url, title, language, acl, metadata, bytes, attempts, losses,
          submitted_at
