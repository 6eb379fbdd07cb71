-- How many chunks each principal may see: the documents' added (sign 1) or taken away (sign -1).
INSERT INTO principal_statistics AS known (tenant_id, principal, chunk_count)
SELECT %(tenant_id)s, grants.principal, %(sign)s * sum(cut.chunk_count)
FROM grants
JOIN cut_documents AS cut ON cut.tenant_id = grants.tenant_id AND cut.document_id = grants.document_id
WHERE grants.tenant_id = %(tenant_id)s AND grants.document_id = ANY (%(document_ids)s::uuid[])
GROUP BY grants.principal
ON CONFLICT (tenant_id, principal) DO UPDATE SET chunk_count = known.chunk_count + excluded.chunk_count
