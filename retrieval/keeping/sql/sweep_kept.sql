-- Takes away some of the tenant's answers that are past their time, and the oldest of those beyond its share. Those that
-- somebody else holds are for another time: a deletion that takes several away must not wait for this one in a circle.
DELETE FROM kept_answers
WHERE tenant_id = %(tenant_id)s
  AND answer_id IN (
      SELECT answer_id
      FROM kept_answers
      WHERE tenant_id = %(tenant_id)s
        AND answer_id IN (
            (SELECT answer_id FROM kept_answers WHERE tenant_id = %(tenant_id)s AND expires_at <= now() LIMIT 100)
            UNION ALL
            (SELECT answer_id FROM kept_answers WHERE tenant_id = %(tenant_id)s ORDER BY expires_at DESC
             OFFSET %(most)s LIMIT 100)
        )
      FOR UPDATE SKIP LOCKED
  )
RETURNING answer_id
