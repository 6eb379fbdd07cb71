-- Enters settled documents in their jobs; those jobs that are finished by it.
UPDATE jobs
SET waiting = jobs.waiting - settled.total,
    indexed = jobs.indexed + settled.indexed,
    updated = jobs.updated + settled.updated,
    unchanged = jobs.unchanged + settled.unchanged,
    failed = jobs.failed + settled.failed,
    superseded = jobs.superseded + settled.superseded,
    cancelled = jobs.cancelled + settled.cancelled,
    finished_at = CASE WHEN jobs.waiting = settled.total THEN %(moment)s::timestamptz END
FROM (
    SELECT given.job_id,
           count(*) AS total,
           count(*) FILTER (WHERE given.state = 'indexed') AS indexed,
           count(*) FILTER (WHERE given.state = 'updated') AS updated,
           count(*) FILTER (WHERE given.state = 'unchanged') AS unchanged,
           count(*) FILTER (WHERE given.state = 'failed') AS failed,
           count(*) FILTER (WHERE given.state = 'superseded') AS superseded,
           count(*) FILTER (WHERE given.state = 'cancelled') AS cancelled
    FROM unnest(%(job_ids)s::uuid[], %(states)s::text[]) AS given (job_id, state)
    GROUP BY given.job_id
) AS settled
WHERE jobs.tenant_id = %(tenant_id)s AND jobs.job_id = settled.job_id
RETURNING jobs.job_id, jobs.total, jobs.failed, jobs.finished_at IS NOT NULL AS finished
