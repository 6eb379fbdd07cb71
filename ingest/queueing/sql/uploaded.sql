-- A document's bytes as they were handed in.
SELECT content
FROM uploads
WHERE tenant_id = %(tenant_id)s AND revision_id = %(revision_id)s
