-- What was cut by another recipe, or could not be: it is tried again.
SELECT document_id
FROM cut_documents
WHERE tenant_id = %(tenant_id)s AND (recipe <> %(recipe)s OR problem <> '')
LIMIT %(limit)s
