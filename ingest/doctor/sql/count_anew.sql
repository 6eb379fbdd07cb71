UPDATE cut_documents
SET chunk_count = (
    SELECT count(*)
    FROM chunks
    WHERE chunks.tenant_id = %(tenant_id)s AND chunks.document_id = cut_documents.document_id
)
WHERE cut_documents.tenant_id = %(tenant_id)s AND cut_documents.document_id = ANY (%(document_ids)s::uuid[])
