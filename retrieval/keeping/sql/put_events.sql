-- The next batches of several answers, and that their process is alive; only of those that are still to be kept.
-- Their rows are taken in order, as who withdraws them does: neither then waits for the other.
WITH said AS (
    SELECT *
    FROM unnest(%(answer_ids)s::uuid[], %(states)s::text[], %(last_numbers)s::integer[], %(events)s::text[])
         AS batch (answer_id, state, last_number, events)
), held AS (
    SELECT answer_id
    FROM kept_answers
    WHERE tenant_id = %(tenant_id)s AND answer_id = ANY (%(answer_ids)s::uuid[])
    ORDER BY answer_id
    FOR UPDATE
), living AS (
    UPDATE kept_answers
    SET state = said.state,
        lease_until = now() + make_interval(secs => %(lease)s),
        expires_at = now() + make_interval(secs => %(keep)s)
    FROM said
    WHERE kept_answers.tenant_id = %(tenant_id)s
      AND kept_answers.answer_id = said.answer_id
      AND kept_answers.answer_id IN (SELECT answer_id FROM held)
      AND kept_answers.state = 'running'
    RETURNING kept_answers.answer_id, kept_answers.followed_until > now() AS followed
), written AS (
    INSERT INTO kept_events (tenant_id, answer_id, last_number, events)
    SELECT %(tenant_id)s, said.answer_id, said.last_number, said.events
    FROM said
    JOIN living ON living.answer_id = said.answer_id
    WHERE said.events <> '[]'
    ON CONFLICT (tenant_id, answer_id, last_number) DO NOTHING
)
SELECT answer_id, followed FROM living
