-- Jobs whose failed documents wait again are not finished any more.
UPDATE jobs
SET waiting = jobs.waiting + again.total, failed = jobs.failed - again.total, finished_at = NULL
FROM (
    SELECT given.job_id, count(*) AS total
    FROM unnest(%(job_ids)s::uuid[]) AS given (job_id)
    GROUP BY given.job_id
) AS again
WHERE jobs.tenant_id = %(tenant_id)s AND jobs.job_id = again.job_id
