-- Which version of which document these answers show.
INSERT INTO kept_sources (tenant_id, answer_id, document_id, version)
SELECT kept_answers.tenant_id, shown.answer_id, shown.document_id, shown.version
FROM unnest(%(answer_ids)s::uuid[], %(document_ids)s::uuid[], %(versions)s::integer[])
     AS shown (answer_id, document_id, version)
JOIN kept_answers ON kept_answers.tenant_id = %(tenant_id)s AND kept_answers.answer_id = shown.answer_id
                 AND kept_answers.state <> 'withdrawn'
ON CONFLICT (tenant_id, answer_id, document_id, version) DO NOTHING
RETURNING answer_id
