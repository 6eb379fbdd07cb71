{what} FROM {table} AS child
WHERE child.tenant_id = %(tenant_id)s
  AND NOT EXISTS (
      SELECT FROM documents
      WHERE documents.tenant_id = %(tenant_id)s AND documents.document_id = child.document_id
  )
