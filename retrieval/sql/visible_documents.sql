-- Which of these documents the caller may see at this moment.
SELECT document_id
FROM documents
WHERE tenant_id = %(tenant_id)s AND document_id = ANY(%(document_ids)s::uuid[]) AND acl && %(principals)s::text[]
