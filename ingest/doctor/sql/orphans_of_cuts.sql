{what} FROM {table} AS child
WHERE child.tenant_id = %(tenant_id)s
  AND NOT EXISTS (
      SELECT FROM cut_documents AS cut
      WHERE cut.tenant_id = %(tenant_id)s AND cut.document_id = child.document_id
  )
