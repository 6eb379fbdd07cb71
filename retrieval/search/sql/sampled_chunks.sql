-- How many of the first chunks of the caller's first documents match. Ids are hashes, so the first are a fair sample of
-- all; where there are fewer than `bound`, they are all.
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
SELECT (SELECT count(*) FROM first) < %(bound)s AND count(*) < %(bound)s AS complete,
       count(*) AS chunk_count,
       count(*) FILTER (WHERE sampled.matches) AS matching
FROM (
    SELECT (%(document_filter)s::jsonpath IS NULL
            OR jsonb_path_match(described.fields, %(document_filter)s::jsonpath, %(filter_values)s::jsonb, true))
           AND jsonb_path_match(
               CASE WHEN %(place_alone)s::boolean THEN jsonb_build_object() ELSE described.fields END
               || pincite_place(chunks.first_page, chunks.last_page, chunks.heading_path, chunks.sections),
               %(chunk_filter)s::jsonpath, %(filter_values)s::jsonb, true
           ) AS matches
    FROM first
    JOIN documents ON documents.tenant_id = %(tenant_id)s AND documents.document_id = first.document_id
    JOIN document_fields AS described
      ON described.tenant_id = documents.tenant_id AND described.document_id = documents.document_id
    JOIN chunks ON chunks.tenant_id = %(tenant_id)s AND chunks.document_id = first.document_id
    WHERE documents.acl && %(principals)s::text[]
    ORDER BY chunks.document_id, chunks.ordinal
    LIMIT %(bound)s
) AS sampled
