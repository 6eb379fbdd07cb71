-- New permissions or metadata for an unchanged text: no chunk is touched, nothing is embedded again.
UPDATE documents
SET acl = %(acl)s, metadata = %(metadata)s, updated_at = %(updated_at)s
WHERE tenant_id = %(tenant_id)s AND document_id = %(document_id)s
