UPDATE documents
SET chunk_count = (
    SELECT count(*)
    FROM chunks
    WHERE chunks.tenant_id = %(tenant_id)s AND chunks.document_id = documents.document_id
)
WHERE documents.tenant_id = %(tenant_id)s AND documents.document_id = ANY (%(document_ids)s::uuid[])
