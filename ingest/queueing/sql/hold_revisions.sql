-- All states of the documents, held in order before what belongs to them is touched.
SELECT revision_id
FROM revisions
WHERE tenant_id = %(tenant_id)s AND document_id = ANY (%(document_ids)s::uuid[])
ORDER BY revision_id
FOR UPDATE
