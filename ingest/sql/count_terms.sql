-- In how many chunks each word stands: the documents' chunks added (sign 1) or taken away (sign -1).
-- In the order of the keys: half the work of a random one in a large index.
INSERT INTO term_statistics AS known (tenant_id, term_key, chunk_count)
SELECT %(tenant_id)s, term_key, %(sign)s * count(*)
FROM chunk_terms CROSS JOIN LATERAL unnest(term_keys) AS term_key
WHERE chunk_terms.tenant_id = %(tenant_id)s AND chunk_terms.document_id = ANY (%(document_ids)s::uuid[])
GROUP BY term_key
ORDER BY term_key
ON CONFLICT (tenant_id, term_key) DO UPDATE SET chunk_count = known.chunk_count + excluded.chunk_count
