-- Vectors and words go with their chunks.
DELETE FROM chunks WHERE tenant_id = %(tenant_id)s AND document_id = ANY (%(document_ids)s::uuid[])
