-- Who hands in states of one document at the same time does so one after the other.
SELECT pg_advisory_xact_lock(hashtextextended('pincite:document:' || %(tenant_id)s || document_id, 0)) IS NULL AS locked
FROM unnest(%(document_ids)s::text[]) AS document_id
ORDER BY document_id
