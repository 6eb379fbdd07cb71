-- Words of answers that were withdrawn, or that show the documents.
SELECT count(*) AS rows
FROM kept_events
JOIN kept_answers
  ON kept_answers.tenant_id = kept_events.tenant_id AND kept_answers.answer_id = kept_events.answer_id
WHERE kept_events.tenant_id = %(tenant_id)s
  AND (kept_answers.state = 'withdrawn'
       OR kept_answers.answer_id IN (
           SELECT answer_id
           FROM kept_sources
           WHERE tenant_id = %(tenant_id)s AND document_id = ANY (%(document_ids)s::uuid[])
       ))
