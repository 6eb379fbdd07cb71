-- The tenant's receipts, newest first; or the one of this id.
SELECT receipt_id, scope, asked, asked_by, asked_at, state, invisible_at, removed, digest
FROM deletion_receipts
WHERE tenant_id = %(tenant_id)s AND (%(receipt_id)s::uuid IS NULL OR receipt_id = %(receipt_id)s)
ORDER BY asked_at DESC, receipt_id
