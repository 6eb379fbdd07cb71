-- Words of the documents that now stand in no chunk; asked before the documents' own are gone.
DELETE FROM term_statistics
WHERE tenant_id = %(tenant_id)s
  AND chunk_count <= 0
  AND term_key IN (
      SELECT unnest(term_keys)
      FROM chunk_terms
      WHERE tenant_id = %(tenant_id)s AND document_id = ANY (%(document_ids)s::uuid[])
  )
