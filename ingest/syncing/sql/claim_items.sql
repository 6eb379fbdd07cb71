-- The uris become the source's, their state unknown; those of another source stay with it.
INSERT INTO sync_items AS known (tenant_id, uri, source, path, marker, recipe, fingerprint, failure, message, remembered)
SELECT %(tenant_id)s, claimed.uri, %(source)s, claimed.path, '', '', '', '', '', '{}'
FROM jsonb_to_recordset(%(claimed)s::jsonb) AS claimed (uri text, path text)
ORDER BY claimed.uri
ON CONFLICT (tenant_id, uri) DO UPDATE SET path = excluded.path, marker = '' WHERE known.source = excluded.source
RETURNING uri
