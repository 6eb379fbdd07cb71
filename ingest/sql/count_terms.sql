-- In how many chunks each word stands: the document's chunks added (sign 1) or taken away (sign -1).
INSERT INTO term_statistics AS known (tenant_id, term_key, chunk_count)
SELECT %(tenant_id)s, term_key, %(sign)s * count(*)
FROM chunk_terms CROSS JOIN LATERAL unnest(term_keys) AS term_key
WHERE chunk_terms.tenant_id = %(tenant_id)s AND chunk_terms.document_id = %(document_id)s
GROUP BY term_key
ON CONFLICT (tenant_id, term_key) DO UPDATE SET chunk_count = known.chunk_count + excluded.chunk_count
