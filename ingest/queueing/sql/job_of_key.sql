-- The job that this key was used for.
SELECT job_id, request
FROM jobs
WHERE tenant_id = %(tenant_id)s AND submitter = %(submitter)s AND idempotency_key = %(idempotency_key)s
