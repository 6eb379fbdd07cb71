-- What those answers said. A statement of its own: the one that withdrew them may have waited for who wrote this.
DELETE FROM kept_events
WHERE tenant_id = %(tenant_id)s
  AND answer_id IN (
      SELECT answer_id
      FROM kept_sources
      WHERE tenant_id = %(tenant_id)s AND document_id = ANY (%(document_ids)s::uuid[])
  )
