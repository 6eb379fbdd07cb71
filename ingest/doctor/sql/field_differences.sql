-- After all documents were taken off the counts, in a transaction that is undone: what is not zero was wrong.
SELECT count(*) AS found FROM field_statistics WHERE tenant_id = %(tenant_id)s AND document_count <> 0
