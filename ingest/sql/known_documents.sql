-- What the tenant already has, to tell what is new, changed, unchanged or gone.
SELECT uri, document_id, fingerprint, acl, metadata FROM documents WHERE tenant_id = %(tenant_id)s
