-- All that cutting a document anew needs.
SELECT document_id, version, title, language, content_type, content, page_starts, blocks
FROM documents
WHERE tenant_id = %(tenant_id)s AND document_id = %(document_id)s
