-- How many chunks the tenant has; and its vector index, if there is one: a build that was killed leaves an invalid one.
SELECT (SELECT coalesce(sum(languages.chunk_count), 0)::bigint
        FROM language_statistics AS languages
        WHERE languages.tenant_id = %(tenant_id)s) AS chunk_count,
       (SELECT indisvalid FROM pg_index
        WHERE indexrelid = to_regclass(%(index_name)s) AND indrelid = to_regclass('embeddings')) AS valid
