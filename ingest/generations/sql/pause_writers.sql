-- They go on by themselves, should whoever paused them die.
UPDATE generations SET paused_until = clock_timestamp() + make_interval(secs => %(seconds)s)
WHERE generation_id = %(generation_id)s
