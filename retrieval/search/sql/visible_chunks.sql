-- How many chunks the caller may see, counted up to a bound: a document holds one chunk or more.
SELECT coalesce(sum(visible.chunk_count), 0)::bigint AS chunk_count
FROM (
    SELECT documents.chunk_count
    FROM documents
    WHERE documents.tenant_id = %(tenant_id)s AND documents.acl && %(principals)s::text[]
      AND documents.chunk_count > 0
    LIMIT %(bound)s
) AS visible
