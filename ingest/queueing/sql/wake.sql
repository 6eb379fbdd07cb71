-- Tells the workers that the tenant has work, once this transaction is through.
SELECT pincite_wake(%(tenant_id)s) IS NULL AS woken
