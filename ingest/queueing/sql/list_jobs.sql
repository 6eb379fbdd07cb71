-- The tenant's jobs, the newest first, from one of them on.
SELECT jobs.job_id, jobs.submitter, jobs.submitted_at, jobs.finished_at, jobs.total, jobs.waiting, jobs.indexed, jobs.updated,
       jobs.unchanged, jobs.failed, jobs.superseded, jobs.cancelled, open.running::integer AS running,
       open.next_attempt_at
FROM jobs
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE revisions.state = 'running') AS running,
           min(revisions.due_at) FILTER (WHERE revisions.state = 'queued') AS next_attempt_at
    FROM revisions
    WHERE revisions.tenant_id = %(tenant_id)s
      AND revisions.job_id = jobs.job_id
      AND revisions.state IN ('queued', 'running')
) AS open
WHERE jobs.tenant_id = %(tenant_id)s
  AND (%(before)s::timestamptz IS NULL OR (jobs.submitted_at, jobs.job_id) < (%(before)s, %(before_id)s::uuid))
ORDER BY jobs.submitted_at DESC, jobs.job_id DESC
LIMIT %(most)s
