-- Tells the workers that something is to be delivered, once this transaction is through.
SELECT pincite_wake_telling(%(tenant_id)s) IS NULL AS woken
