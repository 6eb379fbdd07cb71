UPDATE generations SET state = %(state)s, changed_at = now(), paused_until = '-infinity'
WHERE generation_id = %(generation_id)s
