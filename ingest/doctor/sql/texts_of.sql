-- A document's chunks as they are embedded.
SELECT documents.version, chunks.ordinal, chunks.context || E'\n' || chunks.text AS text
FROM chunks
JOIN documents ON documents.tenant_id = chunks.tenant_id AND documents.document_id = chunks.document_id
WHERE chunks.tenant_id = %(tenant_id)s AND chunks.document_id = %(document_id)s
ORDER BY chunks.ordinal
