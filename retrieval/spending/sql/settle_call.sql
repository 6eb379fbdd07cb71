-- What a call took after all. No row: it was settled before.
UPDATE spending_calls
SET state = %(state)s,
    estimated = %(estimated)s,
    prompt_tokens = %(prompt_tokens)s,
    completion_tokens = %(completion_tokens)s,
    nano_usd = %(nano_usd)s
WHERE tenant_id = %(tenant_id)s AND number = %(number)s AND state = 'reserved'
RETURNING number
