-- The documents' states of jobs that ended long ago, held in order: they go with their jobs.
SELECT revisions.revision_id
FROM jobs
JOIN revisions ON revisions.tenant_id = jobs.tenant_id AND revisions.job_id = jobs.job_id
WHERE jobs.tenant_id = %(tenant_id)s AND revisions.tenant_id = %(tenant_id)s AND jobs.finished_at < %(moment)s
ORDER BY revisions.revision_id
FOR UPDATE OF revisions
