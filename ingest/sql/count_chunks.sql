-- How many chunks the tenant has in each language: the documents' added (sign 1) or taken away (sign -1).
INSERT INTO language_statistics AS known (tenant_id, language, chunk_count)
SELECT %(tenant_id)s, documents.language, %(sign)s * sum(cut.chunk_count)
FROM cut_documents AS cut
JOIN documents ON documents.tenant_id = %(tenant_id)s AND documents.document_id = cut.document_id
WHERE cut.tenant_id = %(tenant_id)s AND cut.document_id = ANY (%(document_ids)s::uuid[])
GROUP BY documents.language
ON CONFLICT (tenant_id, language) DO UPDATE SET chunk_count = known.chunk_count + excluded.chunk_count
