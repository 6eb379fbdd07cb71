-- Chunks whose words are missing, for `add_terms` to read.
INSERT INTO staged_chunks (document_id, language, ordinal, context, text)
SELECT chunks.document_id, documents.language, chunks.ordinal, chunks.context, chunks.text
FROM chunks
JOIN documents ON documents.tenant_id = chunks.tenant_id AND documents.document_id = chunks.document_id
WHERE chunks.tenant_id = %(tenant_id)s
  AND chunks.document_id = ANY (%(document_ids)s::uuid[])
  AND NOT EXISTS (
      SELECT FROM chunk_terms
      WHERE chunk_terms.tenant_id = %(tenant_id)s
        AND chunk_terms.document_id = chunks.document_id
        AND chunk_terms.ordinal = chunks.ordinal
  )
