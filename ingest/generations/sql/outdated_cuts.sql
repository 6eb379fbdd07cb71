-- What was cut by other recipes, or could not be: it is tried again.
SELECT document_id
FROM cut_documents
WHERE tenant_id = %(tenant_id)s AND (recipe <> ALL (%(recipes)s::text[]) OR problem <> '')
LIMIT %(limit)s
