{what} FROM {table} AS child
WHERE child.tenant_id = %(tenant_id)s
  AND NOT EXISTS (
      SELECT FROM chunks
      WHERE chunks.tenant_id = %(tenant_id)s
        AND chunks.document_id = child.document_id
        AND chunks.ordinal = child.ordinal
  )
