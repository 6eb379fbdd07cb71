-- The claim is had where nobody holds it, or its holder has not been heard of for too long.
INSERT INTO answer_claims (tenant_id, key, holder, claimed_at, expires_at)
VALUES (%(tenant_id)s, %(key)s, %(holder)s, now(), now() + make_interval(secs => %(lease)s))
ON CONFLICT (tenant_id, key) DO UPDATE
SET holder = excluded.holder, claimed_at = excluded.claimed_at, expires_at = excluded.expires_at
WHERE answer_claims.expires_at <= excluded.claimed_at
RETURNING key
