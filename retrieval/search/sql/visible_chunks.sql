-- What is known, without counting, of how much the caller may see: a document that allows two of the principals is in
-- both their counts, so the truth lies between the largest count and the sum; and whether the tenant has an
-- index: on these very embeddings, the search path may lead to another generation's of that name.
SELECT coalesce(max(chunk_count), 0) AS at_least,
       coalesce(sum(chunk_count), 0)::bigint AS at_most,
       (SELECT coalesce(sum(languages.chunk_count), 0)::bigint
        FROM language_statistics AS languages
        WHERE languages.tenant_id = %(tenant_id)s) AS tenant_chunks,
       EXISTS (SELECT FROM pg_index
               WHERE indexrelid = to_regclass(%(index_name)s) AND indrelid = to_regclass('embeddings') AND indisvalid)
           AS indexed
FROM principal_statistics
WHERE tenant_id = %(tenant_id)s AND principal = ANY (%(principals)s::text[])
