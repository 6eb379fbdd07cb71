-- Every visible chunk that matches compared with the question, reached through the caller's grants; the document's own
-- list decides. Arrays are looked up in one pass over an index: joined, all of the tenant's documents would be read, and
-- every chunk cost a quarter more. Sorted by the similarity, which no index serves: always exact.
SELECT embeddings.document_id,
       embeddings.ordinal,
       -(embeddings.embedding <#> %(embedding)s::halfvec) AS score
FROM embeddings
LEFT JOIN document_fields AS described
       ON described.tenant_id = %(tenant_id)s AND described.document_id = embeddings.document_id
LEFT JOIN chunks ON chunks.tenant_id = %(tenant_id)s AND chunks.document_id = embeddings.document_id
                AND chunks.ordinal = embeddings.ordinal
WHERE embeddings.tenant_id = %(tenant_id)s
  AND embeddings.document_id = ANY (ARRAY(
      SELECT documents.document_id
      FROM documents
      LEFT JOIN document_fields AS described
             ON described.tenant_id = documents.tenant_id AND described.document_id = documents.document_id
      WHERE documents.tenant_id = %(tenant_id)s
        AND documents.document_id = ANY (ARRAY(
            SELECT grants.document_id
            FROM grants
            WHERE grants.tenant_id = %(tenant_id)s AND grants.principal = ANY (%(principals)s::text[])
        ))
        AND documents.acl && %(principals)s::text[]
        AND (%(document_filter)s::jsonpath IS NULL
             OR jsonb_path_match(described.fields, %(document_filter)s::jsonpath, %(filter_values)s::jsonb, true))
  ))
  AND (%(chunk_filter)s::jsonpath IS NULL
       OR jsonb_path_match(
           CASE WHEN %(place_alone)s::boolean THEN jsonb_build_object() ELSE described.fields END
           || pincite_place(chunks.first_page, chunks.last_page, chunks.heading_path, chunks.sections),
           %(chunk_filter)s::jsonpath, %(filter_values)s::jsonb, true
       ))
ORDER BY score DESC, embeddings.document_id, embeddings.ordinal
LIMIT %(limit)s
