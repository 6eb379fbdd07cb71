-- How long the tenant's line is, since when its first waits, and how many documents failed; counted up to `most`.
SELECT (
    SELECT count(*)::integer
    FROM (
        SELECT FROM revisions WHERE tenant_id = %(tenant_id)s AND state IN ('queued', 'running') LIMIT %(most)s
    ) AS waiting
) AS waiting, (
    SELECT count(*)::integer
    FROM (SELECT FROM revisions WHERE tenant_id = %(tenant_id)s AND state = 'failed' LIMIT %(most)s) AS failed
) AS failed, (
    SELECT coalesce(extract(epoch FROM %(moment)s - min(submitted_at)), 0)::float8
    FROM revisions
    WHERE tenant_id = %(tenant_id)s AND state = 'queued'
) AS oldest
