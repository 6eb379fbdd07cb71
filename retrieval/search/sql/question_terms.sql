-- The question's words, read as each language of the tenant reads them, with how many chunks hold each.
SELECT languages.language,
       terms.term_key,
       pincite_dimension(terms.term_key) AS dimension,
       coalesce(statistics.chunk_count, 0) AS chunk_count,
       languages.chunk_count AS language_chunk_count
FROM language_statistics AS languages
CROSS JOIN LATERAL pincite_terms(%(tenant_id)s, languages.language, %(question)s) AS terms
LEFT JOIN term_statistics AS statistics
       ON statistics.tenant_id = %(tenant_id)s AND statistics.term_key = terms.term_key
WHERE languages.tenant_id = %(tenant_id)s AND languages.chunk_count > 0
ORDER BY languages.language, chunk_count, terms.term_key
