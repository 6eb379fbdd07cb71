-- A document's vectors, if it is still the one that they were made of.
INSERT INTO embeddings (tenant_id, document_id, ordinal, embedding)
SELECT %(tenant_id)s, cut.document_id, made.ordinal, made.embedding::halfvec
FROM cut_documents AS cut
CROSS JOIN unnest(%(ordinals)s::integer[], %(embeddings)s::text[]) AS made (ordinal, embedding)
WHERE cut.tenant_id = %(tenant_id)s
  AND cut.document_id = %(document_id)s
  AND cut.version = %(version)s
ON CONFLICT (tenant_id, document_id, ordinal) DO UPDATE SET embedding = excluded.embedding
