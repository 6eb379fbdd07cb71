-- The question's words as they are written, each with the keys it is looked up by in each language of the tenant.
SELECT regexp_replace(words.word, '^[[:punct:]]+|[[:punct:]]+$', '', 'g') AS word, terms.term_key
FROM language_statistics AS languages
CROSS JOIN regexp_split_to_table(%(question)s, '\s+') AS words (word)
CROSS JOIN LATERAL pincite_terms(%(tenant_id)s, languages.language, words.word) AS terms
WHERE languages.tenant_id = %(tenant_id)s AND languages.chunk_count > 0
