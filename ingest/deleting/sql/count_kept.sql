-- How many kept answers still show the documents.
SELECT count(DISTINCT kept_answers.answer_id) AS rows
FROM kept_answers
JOIN kept_sources
  ON kept_sources.tenant_id = kept_answers.tenant_id AND kept_sources.answer_id = kept_answers.answer_id
WHERE kept_answers.tenant_id = %(tenant_id)s
  AND kept_sources.document_id = ANY (%(document_ids)s::uuid[])
  AND kept_answers.state <> 'withdrawn'
