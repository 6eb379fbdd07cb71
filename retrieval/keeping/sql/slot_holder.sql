-- The attempt that has the slot.
SELECT answer_id, request FROM kept_answers WHERE tenant_id = %(tenant_id)s AND slot = %(slot)s
