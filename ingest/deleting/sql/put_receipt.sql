-- The receipt so far, in the transaction of what it is for.
INSERT INTO deletion_receipts (tenant_id, receipt_id, scope, asked, asked_by, asked_at, state, invisible_at, removed, digest)
VALUES (%(tenant_id)s, %(receipt_id)s, %(scope)s, %(asked)s, %(asked_by)s, %(asked_at)s, %(state)s, %(invisible_at)s,
        %(removed)s, %(digest)s)
ON CONFLICT (tenant_id, receipt_id) DO UPDATE
SET state = excluded.state, invisible_at = excluded.invisible_at, removed = excluded.removed, digest = excluded.digest
