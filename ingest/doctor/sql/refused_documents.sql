-- Documents that could not be made for the generation: nothing finds them in it.
SELECT document_id FROM cut_documents WHERE tenant_id = %(tenant_id)s AND problem <> '' LIMIT %(most)s
