-- How many chunks the tenant has in each language: the documents' added (sign 1) or taken away (sign -1).
INSERT INTO language_statistics AS known (tenant_id, language, chunk_count)
SELECT %(tenant_id)s, language, %(sign)s * sum(chunk_count)
FROM documents
WHERE tenant_id = %(tenant_id)s AND document_id = ANY (%(document_ids)s::uuid[])
GROUP BY language
ON CONFLICT (tenant_id, language) DO UPDATE SET chunk_count = known.chunk_count + excluded.chunk_count
