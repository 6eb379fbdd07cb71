-- How many chunks the caller may see, read from at most `bound` grants.
SELECT coalesce(sum(documents.chunk_count), 0)::bigint AS chunk_count
FROM (
    SELECT DISTINCT granted.document_id
    FROM (
        SELECT grants.document_id
        FROM grants
        WHERE grants.tenant_id = %(tenant_id)s AND grants.principal = ANY (%(principals)s::text[])
        LIMIT %(bound)s
    ) AS granted
) AS visible
JOIN documents ON documents.tenant_id = %(tenant_id)s AND documents.document_id = visible.document_id
