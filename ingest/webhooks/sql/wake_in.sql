-- Tells the workers that something will be to be delivered.
SELECT pincite_wake_telling_at(%(tenant_id)s, now() + make_interval(secs => %(seconds)s)) IS NULL AS woken
