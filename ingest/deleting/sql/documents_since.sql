-- Which of the documents are there now, and since when.
SELECT document_id, updated_at
FROM documents
WHERE tenant_id = %(tenant_id)s AND document_id = ANY (%(document_ids)s::uuid[])
