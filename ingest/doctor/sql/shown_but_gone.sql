-- Documents that are not there, and that kept or cached answers show.
SELECT DISTINCT shown.document_id
FROM (
    SELECT kept_sources.document_id FROM kept_sources WHERE kept_sources.tenant_id = %(tenant_id)s
    UNION
    SELECT unnest(cached_answers.document_ids) FROM cached_answers WHERE cached_answers.tenant_id = %(tenant_id)s
) AS shown
WHERE NOT EXISTS (
    SELECT FROM documents WHERE documents.tenant_id = %(tenant_id)s AND documents.document_id = shown.document_id
)
LIMIT %(most)s
