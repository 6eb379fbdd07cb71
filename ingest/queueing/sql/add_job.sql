-- A job with nothing settled yet; none where this key was used before.
INSERT INTO jobs (tenant_id, job_id, submitter, idempotency_key, request, submitted_at, total, waiting)
VALUES (%(tenant_id)s, %(job_id)s, %(submitter)s, %(idempotency_key)s, %(request)s, %(submitted_at)s, %(total)s,
        %(total)s)
ON CONFLICT (tenant_id, submitter, idempotency_key) DO NOTHING
RETURNING job_id, request
