-- Documents that nobody may see.
SELECT document_id FROM documents WHERE tenant_id = %(tenant_id)s AND acl = '{nobody}' LIMIT %(most)s
