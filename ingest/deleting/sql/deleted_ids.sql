-- The documents that the receipt is for.
SELECT document_id
FROM deleted_documents
WHERE tenant_id = %(tenant_id)s AND receipt_id = %(receipt_id)s
ORDER BY document_id
