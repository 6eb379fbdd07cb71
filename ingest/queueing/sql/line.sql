-- Whether documents of the tenant can be taken now, and when the next of the others can. Those to be fetched wait for the one
-- that is being fetched: whoever has it looks again.
SELECT coalesce(bool_or(due_at <= %(moment)s AND (url IS NULL OR NOT EXISTS (
           SELECT
           FROM revisions AS fetched
           WHERE fetched.tenant_id = %(tenant_id)s AND fetched.state = 'running' AND fetched.url IS NOT NULL
       ))), false) AS due,
       min(due_at) FILTER (WHERE due_at > %(moment)s) AS next_at
FROM revisions
WHERE tenant_id = %(tenant_id)s AND state = 'queued'
