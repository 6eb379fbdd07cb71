-- The staged chunks' words, and BM25's document side of each: tf / (tf + k1 (1 - b + b length / average)).
-- k1 = 1.2 and b = 0.75 are BM25's usual values. The average is a constant, so that a chunk is never rewritten:
-- chunks are cut to one size, and 100 words is what MiniLM's 256 tokens hold once stop words are gone.
WITH words AS (
    SELECT staged.ordinal,
           terms.term_key,
           terms.frequency,
           sum(terms.frequency) OVER (PARTITION BY staged.ordinal) AS length
    FROM staged_chunks AS staged
    CROSS JOIN LATERAL pincite_terms(%(tenant_id)s, %(language)s, staged.context || E'\n' || staged.text) AS terms
), weights AS (
    SELECT ordinal,
           pincite_dimension(term_key) AS dimension,
           max(frequency / (frequency + 1.2 * (0.25 + 0.75 * length / 100.0)))::real AS weight
    FROM words
    GROUP BY ordinal, dimension
), vectors AS (
    SELECT ordinal,
           '{' || string_agg(dimension || ':' || weight, ',' ORDER BY dimension) || '}/1000000000' AS weights
    FROM weights
    GROUP BY ordinal
), keys AS (
    SELECT ordinal, array_agg(term_key ORDER BY term_key) AS term_keys FROM words GROUP BY ordinal
)
INSERT INTO chunk_terms (tenant_id, document_id, ordinal, term_keys, weights)
SELECT %(tenant_id)s,
       %(document_id)s,
       staged.ordinal,
       coalesce(keys.term_keys, '{}'),
       coalesce(vectors.weights, '{}/1000000000')::sparsevec
FROM staged_chunks AS staged
LEFT JOIN keys ON keys.ordinal = staged.ordinal
LEFT JOIN vectors ON vectors.ordinal = staged.ordinal
ORDER BY staged.ordinal
