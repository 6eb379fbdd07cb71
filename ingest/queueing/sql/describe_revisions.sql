-- What is on its way of a document gets its new permissions or metadata, and so does what failed and may be tried again. A
-- worker that has it has it no longer: what it read is out of date.
UPDATE revisions
SET acl = coalesce(%(acl)s::text[], acl),
    metadata = coalesce(%(metadata)s::jsonb, metadata),
    state = CASE WHEN state = 'running' THEN 'queued' ELSE state END,
    claim_id = NULL,
    turn_id = NULL
WHERE tenant_id = %(tenant_id)s AND document_id = %(document_id)s AND state IN ('queued', 'running', 'failed')
