-- Somebody at another process follows this answer: it is to be written on.
UPDATE kept_answers
SET followed_until = now() + make_interval(secs => %(seconds)s)
WHERE tenant_id = %(tenant_id)s AND answer_id = %(answer_id)s AND owner = %(owner)s AND state = 'running'
RETURNING answer_id
