-- How many chunks of the caller's first documents match. Ids are hashes, so the first are a fair sample of all; where
-- there are fewer than `bound`, they are all.
WITH first AS (
    SELECT DISTINCT granted.document_id
    FROM unnest(%(principals)s::text[]) AS held (principal)
    CROSS JOIN LATERAL (
        SELECT grants.document_id
        FROM grants
        WHERE grants.tenant_id = %(tenant_id)s AND grants.principal = held.principal
        ORDER BY grants.document_id
        LIMIT %(bound)s
    ) AS granted
    ORDER BY granted.document_id
    LIMIT %(bound)s
)
SELECT (SELECT count(*) FROM first) < %(bound)s AS complete,
       coalesce(sum(cut.chunk_count), 0)::bigint AS chunk_count,
       coalesce(sum(cut.chunk_count) FILTER (
           WHERE jsonb_path_match(described.fields, %(document_filter)s::jsonpath, %(filter_values)s::jsonb, true)
       ), 0)::bigint AS matching
FROM first
JOIN documents ON documents.tenant_id = %(tenant_id)s AND documents.document_id = first.document_id
JOIN cut_documents AS cut ON cut.tenant_id = documents.tenant_id AND cut.document_id = documents.document_id
LEFT JOIN document_fields AS described
       ON described.tenant_id = documents.tenant_id AND described.document_id = documents.document_id
WHERE documents.acl && %(principals)s::text[]
