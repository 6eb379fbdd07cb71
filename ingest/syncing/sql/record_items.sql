-- What the source said of the documents that are now stored, and which text was stored of it.
UPDATE sync_items
SET marker = recorded.marker, recipe = recorded.recipe, failure = recorded.failure, message = recorded.message,
    remembered = recorded.remembered,
    fingerprint = coalesce(
        (SELECT documents.fingerprint
         FROM documents
         WHERE documents.tenant_id = %(tenant_id)s AND documents.uri = recorded.uri), '')
FROM jsonb_to_recordset(%(recorded)s::jsonb)
    AS recorded (uri text, marker text, recipe text, failure text, message text, remembered jsonb)
WHERE sync_items.tenant_id = %(tenant_id)s AND sync_items.source = %(source)s AND sync_items.uri = recorded.uri
