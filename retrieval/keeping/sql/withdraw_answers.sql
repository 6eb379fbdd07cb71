-- These show what is gone: nobody is shown them, and what they said goes.
WITH held AS (
    SELECT answer_id
    FROM kept_answers
    WHERE tenant_id = %(tenant_id)s AND answer_id = ANY (%(answer_ids)s::uuid[])
    ORDER BY answer_id
    FOR UPDATE
), said AS (
    DELETE FROM kept_events
    WHERE tenant_id = %(tenant_id)s AND answer_id IN (SELECT answer_id FROM held)
)
UPDATE kept_answers
SET state = 'withdrawn'
WHERE tenant_id = %(tenant_id)s AND answer_id IN (SELECT answer_id FROM held)
RETURNING answer_id
