-- Documents that would be cut otherwise today.
SELECT document_id FROM cut_documents WHERE tenant_id = %(tenant_id)s AND recipe <> %(recipe)s LIMIT %(most)s
