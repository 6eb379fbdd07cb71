UPDATE answer_claims SET expires_at = now() + make_interval(secs => %(lease)s)
WHERE tenant_id = %(tenant_id)s AND key = %(key)s AND holder = %(holder)s
RETURNING key
