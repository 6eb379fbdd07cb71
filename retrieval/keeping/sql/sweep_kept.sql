-- Takes away some of the tenant's answers that are past their time, and the oldest of those beyond its share.
DELETE FROM kept_answers
WHERE tenant_id = %(tenant_id)s
  AND answer_id IN (
      (SELECT answer_id FROM kept_answers WHERE tenant_id = %(tenant_id)s AND expires_at <= now() LIMIT 100)
      UNION ALL
      (SELECT answer_id FROM kept_answers WHERE tenant_id = %(tenant_id)s ORDER BY expires_at DESC
       OFFSET %(most)s LIMIT 100)
  )
RETURNING answer_id
