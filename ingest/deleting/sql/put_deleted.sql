-- Which documents the receipt is for.
INSERT INTO deleted_documents (tenant_id, receipt_id, document_id)
SELECT %(tenant_id)s, %(receipt_id)s, unnest(%(document_ids)s::uuid[])
ON CONFLICT (tenant_id, receipt_id, document_id) DO NOTHING
