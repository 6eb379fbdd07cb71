-- The documents that the claim holds.
SELECT uri FROM revisions WHERE tenant_id = %(tenant_id)s AND claim_id = %(claim_id)s AND state = 'running'
