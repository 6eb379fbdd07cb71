-- Documents of which a chunk has no row in one table.
SELECT DISTINCT chunks.document_id
FROM chunks
LEFT JOIN chunk_terms AS made
       ON made.tenant_id = chunks.tenant_id
      AND made.document_id = chunks.document_id
      AND made.ordinal = chunks.ordinal
WHERE chunks.tenant_id = %(tenant_id)s AND made.ordinal IS NULL
LIMIT %(most)s
