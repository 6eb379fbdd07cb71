-- A document's chunks as they are embedded.
SELECT cut.version, chunks.ordinal, chunks.context || E'\n' || chunks.text AS text
FROM chunks
JOIN cut_documents AS cut ON cut.tenant_id = chunks.tenant_id AND cut.document_id = chunks.document_id
WHERE chunks.tenant_id = %(tenant_id)s AND chunks.document_id = %(document_id)s
ORDER BY chunks.ordinal
