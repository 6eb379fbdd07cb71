-- Which of the documents were handed in again, whatever came of it.
SELECT DISTINCT document_id
FROM revisions
WHERE tenant_id = %(tenant_id)s AND document_id = ANY (%(document_ids)s::uuid[]) AND submitted_at > %(asked_at)s
