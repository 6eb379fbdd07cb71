-- Chunks, vectors and words go with their document.
DELETE FROM documents WHERE tenant_id = %(tenant_id)s AND document_id = %(document_id)s
