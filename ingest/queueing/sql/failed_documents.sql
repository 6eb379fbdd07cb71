-- The next documents of which a state failed: of one job, or all.
SELECT DISTINCT document_id
FROM revisions
WHERE tenant_id = %(tenant_id)s
  AND state = 'failed'
  AND (%(job_id)s::uuid IS NULL OR job_id = %(job_id)s)
  AND document_id > %(after)s
ORDER BY document_id
LIMIT %(most)s
