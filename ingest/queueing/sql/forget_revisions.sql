-- Nothing is left of what was ever handed in of the documents: their bytes go with it. The jobs keep their counts.
DELETE FROM revisions WHERE tenant_id = %(tenant_id)s AND document_id = ANY (%(document_ids)s::uuid[])
