-- When the newest state of each of the documents was handed in.
SELECT newest.submitted_at
FROM unnest(%(document_ids)s::uuid[]) AS given (document_id)
CROSS JOIN LATERAL (
    SELECT revisions.submitted_at
    FROM revisions
    WHERE revisions.tenant_id = %(tenant_id)s AND revisions.document_id = given.document_id
    ORDER BY revisions.submitted_at DESC
    LIMIT 1
) AS newest
