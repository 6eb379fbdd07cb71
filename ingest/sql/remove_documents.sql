-- Chunks, vectors and words go with their documents.
DELETE FROM documents WHERE tenant_id = %(tenant_id)s AND document_id = ANY (%(document_ids)s::uuid[])
