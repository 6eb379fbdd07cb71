-- The jobs' counts, held in order: who settles documents of the same jobs waits here and not across.
SELECT job_id
FROM jobs
WHERE tenant_id = %(tenant_id)s AND job_id = ANY (%(job_ids)s::uuid[])
ORDER BY job_id
FOR NO KEY UPDATE
