-- Of a tenant's words, those whose key leaves this rest: all of a small tenant's, a share of a large one's.
SELECT count(*) AS found
FROM (
    SELECT term_key, count(*) AS chunk_count
    FROM chunk_terms CROSS JOIN LATERAL unnest(term_keys) AS term_key
    WHERE chunk_terms.tenant_id = %(tenant_id)s AND term_key & (%(every)s - 1) = 0
    GROUP BY term_key
) AS counted
FULL JOIN (
    SELECT term_key, chunk_count
    FROM term_statistics
    WHERE tenant_id = %(tenant_id)s AND term_key & (%(every)s - 1) = 0
) AS known USING (term_key)
WHERE coalesce(counted.chunk_count, 0) <> coalesce(known.chunk_count, 0)
