-- What is known of a source, and whether each document is still the one that was stored for it.
SELECT items.uri,
       items.path,
       items.marker,
       items.recipe,
       items.failure,
       items.message,
       items.remembered,
       documents.uri IS NOT NULL AS stored,
       coalesce(documents.fingerprint = items.fingerprint, false) AS intact,
       coalesce(documents.acl, '{}') AS acl,
       coalesce(documents.metadata, '{}') AS metadata
FROM sync_items AS items
LEFT JOIN documents ON documents.tenant_id = items.tenant_id AND documents.uri = items.uri
WHERE items.tenant_id = %(tenant_id)s AND items.source = %(source)s
