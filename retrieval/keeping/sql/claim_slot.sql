-- The answer's row, unless another attempt has the slot.
INSERT INTO kept_answers (tenant_id, answer_id, slot, owner, request, state, lease_until, followed_until, expires_at)
VALUES (%(tenant_id)s, %(answer_id)s, %(slot)s, %(owner)s, %(request)s, 'running',
        now() + make_interval(secs => %(lease)s), now(), now() + make_interval(secs => %(keep)s))
ON CONFLICT (tenant_id, slot) DO NOTHING
RETURNING answer_id, request
