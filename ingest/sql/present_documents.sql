-- Those of the documents that are stored.
SELECT document_id, version FROM documents WHERE tenant_id = %(tenant_id)s AND document_id = ANY (%(document_ids)s::uuid[])
