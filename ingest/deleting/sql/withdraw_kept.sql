-- Answers that show these documents as they were are shown to nobody any more; what is left says only that.
-- Taken in order, as who writes them does: neither then waits for the other.
WITH held AS (
    SELECT answer_id
    FROM kept_answers
    WHERE tenant_id = %(tenant_id)s
      AND state <> 'withdrawn'
      AND answer_id IN (
          SELECT answer_id
          FROM kept_sources
          WHERE tenant_id = %(tenant_id)s AND document_id = ANY (%(document_ids)s::uuid[])
      )
    ORDER BY answer_id
    FOR UPDATE
)
UPDATE kept_answers
SET state = 'withdrawn'
WHERE tenant_id = %(tenant_id)s AND answer_id IN (SELECT answer_id FROM held)
