-- What has expired, and the oldest of what is too much; so many at a time that whoever writes hardly notices. What somebody
-- else holds is for another time: a deletion that takes several away must not wait for this one in a circle.
DELETE FROM cached_answers
WHERE tenant_id = %(tenant_id)s
  AND key IN (
      SELECT key
      FROM cached_answers
      WHERE tenant_id = %(tenant_id)s
        AND key = ANY (ARRAY(
            (SELECT key FROM cached_answers WHERE tenant_id = %(tenant_id)s AND expires_at <= now() LIMIT 100)
            UNION ALL
            (SELECT key FROM cached_answers
             WHERE tenant_id = %(tenant_id)s
             ORDER BY expires_at DESC
             OFFSET %(entries)s LIMIT 100)
        ))
      FOR UPDATE SKIP LOCKED
  )
RETURNING key
