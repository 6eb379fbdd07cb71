-- A document by its uri or id. Only to whom `any_document` is true does one that the caller may not see exist.
SELECT document_id, uri, acl && %(principals)s::text[] AS visible
FROM documents
WHERE tenant_id = %(tenant_id)s
  AND (uri = %(named)s OR document_id = %(document_id)s::uuid)
  AND (%(any_document)s OR acl && %(principals)s::text[])
ORDER BY visible DESC, uri = %(named)s DESC
LIMIT 1
