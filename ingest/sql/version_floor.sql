-- The highest version of the tenant's deleted documents.
SELECT coalesce(max(version), 0) AS version FROM version_floors WHERE tenant_id = %(tenant_id)s
