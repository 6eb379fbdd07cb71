-- How many rows of one table name the documents.
SELECT count(*) AS rows FROM {table} WHERE tenant_id = %(tenant_id)s AND document_id = ANY (%(document_ids)s::uuid[])
