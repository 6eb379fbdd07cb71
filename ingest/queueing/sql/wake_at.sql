-- Tells the workers that the tenant will have work.
SELECT pincite_wake_at(%(tenant_id)s, %(moment)s) IS NULL AS woken
