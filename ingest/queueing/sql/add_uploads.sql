-- The bytes of documents that were handed in with them.
INSERT INTO uploads (tenant_id, revision_id, content)
SELECT %(tenant_id)s, revision_id, content
FROM unnest(%(revision_ids)s::uuid[], %(contents)s::bytea[]) AS given (revision_id, content)
