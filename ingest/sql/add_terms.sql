-- The staged chunks' words, and BM25's document side of each: tf / (tf + k1 (1 - b + b length / average)).
-- k1 = 1.2 and b = 0.75 are BM25's usual values. The average is a constant, so that a chunk is never rewritten:
-- chunks are cut to one size, and 100 words is what MiniLM's 256 tokens hold once stop words are gone.
-- Of two words in one dimension, the heavier weighs.
INSERT INTO chunk_terms (tenant_id, document_id, ordinal, term_keys, weights)
SELECT %(tenant_id)s,
       staged.document_id,
       staged.ordinal,
       coalesce(words.term_keys, '{}'),
       coalesce(words.weights, '{}/1000000000')::sparsevec
FROM staged_chunks AS staged
CROSS JOIN LATERAL (
    SELECT array_agg(weighed.term_key ORDER BY weighed.term_key) AS term_keys,
           '{' || string_agg(weighed.dimension || ':' || weighed.weight, ',') FILTER (WHERE weighed.place = 1)
               || '}/1000000000' AS weights
    FROM (
        SELECT counted.term_key,
               counted.dimension,
               counted.weight,
               row_number() OVER (PARTITION BY counted.dimension ORDER BY counted.weight DESC) AS place
        FROM (
            SELECT terms.term_key,
                   pincite_dimension(terms.term_key) AS dimension,
                   (terms.frequency / (terms.frequency + 1.2 * (0.25 + 0.75 * sum(terms.frequency) OVER () / 100.0)))::real
                       AS weight
            FROM pincite_terms(%(tenant_id)s, staged.language, staged.context || E'\n' || staged.text) AS terms
        ) AS counted
    ) AS weighed
) AS words
ORDER BY staged.document_id, staged.ordinal
