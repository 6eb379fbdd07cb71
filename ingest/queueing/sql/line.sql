-- Whether documents of the tenant wait now, and when the next of the others will.
SELECT coalesce(bool_or(due_at <= %(moment)s), false) AS due, min(due_at) FILTER (WHERE due_at > %(moment)s) AS next_at
FROM revisions
WHERE tenant_id = %(tenant_id)s AND state = 'queued'
