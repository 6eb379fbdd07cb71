-- Nothing came of this attempt: whoever asks next begins anew.
DELETE FROM kept_answers
WHERE tenant_id = %(tenant_id)s AND answer_id = %(answer_id)s AND state = 'running'
RETURNING answer_id
