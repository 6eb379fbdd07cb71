-- The staged chunks' vectors.
INSERT INTO embeddings (tenant_id, document_id, ordinal, embedding)
SELECT %(tenant_id)s, document_id, ordinal, embedding FROM staged_chunks ORDER BY document_id, ordinal
