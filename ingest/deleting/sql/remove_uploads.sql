-- The bytes of every state of the documents that was handed in.
DELETE FROM uploads
WHERE tenant_id = %(tenant_id)s
  AND revision_id IN (
      SELECT revision_id
      FROM revisions
      WHERE tenant_id = %(tenant_id)s AND document_id = ANY (%(document_ids)s::uuid[])
  )
