-- What a model wrote of where the documents' chunks stand, kept so that it need not be asked again.
INSERT INTO chunk_contexts (tenant_id, document_id, key, context)
SELECT %(tenant_id)s, written.document_id, written.key, written.context
FROM unnest(%(document_ids)s::uuid[], %(keys)s::bytea[], %(contexts)s::text[]) AS written (document_id, key, context)
