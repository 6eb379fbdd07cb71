SELECT document_id FROM documents WHERE tenant_id = %(tenant_id)s ORDER BY document_id
