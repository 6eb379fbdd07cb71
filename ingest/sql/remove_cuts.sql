-- Chunks, vectors and words go with them.
DELETE FROM cut_documents WHERE tenant_id = %(tenant_id)s AND document_id = ANY (%(document_ids)s::uuid[])
