-- One's own, and those whose holders died.
DELETE FROM answer_claims
WHERE tenant_id = %(tenant_id)s AND ((key = %(key)s AND holder = %(holder)s) OR expires_at <= now())
RETURNING key
