-- Makes room for a new attempt where the last one failed, is past its time, or whose process is gone.
DELETE FROM kept_answers
WHERE tenant_id = %(tenant_id)s
  AND slot = %(slot)s
  AND (expires_at <= now() OR state = 'failed' OR (state = 'running' AND lease_until <= now()))
RETURNING answer_id
