-- What was written of a text goes with the text.
DELETE FROM chunk_contexts WHERE tenant_id = %(tenant_id)s AND document_id = ANY (%(document_ids)s::uuid[])
