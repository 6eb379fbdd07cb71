-- A call that is about to be made, at the most it may take.
INSERT INTO spending_calls (
    tenant_id, number, request_id, key_id, principals, endpoint, model, state, priced, estimated,
    prompt_tokens, completion_tokens, nano_usd, reserved_at, expires_at
)
VALUES (
    %(tenant_id)s, %(number)s, %(request_id)s, %(key_id)s, %(principals)s, %(endpoint)s, %(model)s, 'reserved',
    %(priced)s, true, %(prompt_tokens)s, %(completion_tokens)s, %(nano_usd)s, now(),
    now() + make_interval(secs => %(seconds)s)
)
RETURNING reserved_at
