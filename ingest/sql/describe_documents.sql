-- New permissions or metadata for unchanged texts: no chunk is touched, nothing is embedded again.
UPDATE documents
SET acl = described.acl, metadata = described.metadata, updated_at = %(updated_at)s
FROM jsonb_to_recordset(%(described)s::jsonb) AS described (document_id uuid, acl text[], metadata jsonb)
WHERE documents.tenant_id = %(tenant_id)s AND documents.document_id = described.document_id
