-- Words of answers that were withdrawn.
{what} FROM kept_events AS said
WHERE said.tenant_id = %(tenant_id)s
  AND said.answer_id IN (
      SELECT answer_id FROM kept_answers WHERE tenant_id = %(tenant_id)s AND state = 'withdrawn'
  )
