-- The bytes of a document that was handed in with them.
INSERT INTO uploads (tenant_id, revision_id, content) VALUES (%(tenant_id)s, %(revision_id)s, %(content)s)
