-- What the tenant has waiting or worked on; of more than `most` documents, so many.
SELECT count(*)::integer AS documents, coalesce(sum(bytes), 0)::bigint AS bytes
FROM (
    SELECT bytes
    FROM revisions
    WHERE tenant_id = %(tenant_id)s AND state IN ('queued', 'running')
    LIMIT %(most)s
) AS waiting
