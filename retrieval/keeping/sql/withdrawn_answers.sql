-- Those of the answers that were withdrawn.
SELECT answer_id
FROM kept_answers
WHERE tenant_id = %(tenant_id)s AND answer_id = ANY (%(answer_ids)s::uuid[]) AND state = 'withdrawn'
