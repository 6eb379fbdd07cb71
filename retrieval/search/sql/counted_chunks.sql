-- How many chunks the caller may see, read from at most `bound` grants; `complete` where these are all there are.
WITH granted AS MATERIALIZED (
    SELECT grants.document_id
    FROM grants
    WHERE grants.tenant_id = %(tenant_id)s AND grants.principal = ANY (%(principals)s::text[])
    LIMIT %(bound)s
)
SELECT (SELECT count(*) FROM granted) < %(bound)s AS complete,
       coalesce(sum(cut.chunk_count), 0)::bigint AS chunk_count
FROM (SELECT DISTINCT granted.document_id FROM granted) AS visible
JOIN cut_documents AS cut ON cut.tenant_id = %(tenant_id)s AND cut.document_id = visible.document_id
