-- How many cached answers were written from the documents.
SELECT count(*) AS rows
FROM cached_answers
WHERE tenant_id = %(tenant_id)s AND document_ids && %(document_ids)s::uuid[]
