-- The documents' rows in one table.
DELETE FROM {table} WHERE tenant_id = %(tenant_id)s AND document_id = ANY (%(document_ids)s::uuid[])
