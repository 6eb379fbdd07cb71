-- Both legs' exact scores of the proposed chunks that the caller may see, and that match, at this moment. One row of
-- arrays, `places` being the chunks' places among the proposals, from 1: a row for each would cost the client more than
-- the scores cost here.
SELECT coalesce(array_agg(proposed.place), '{}') AS places,
       coalesce(array_agg(coalesce(-(embeddings.embedding <#> %(embedding)s::halfvec), 0)), '{}') AS cosines,
       coalesce(array_agg(-(terms.weights <#> %(question_weights)s::sparsevec)), '{}') AS shares
FROM unnest(%(document_ids)s::uuid[], %(ordinals)s::integer[]) WITH ORDINALITY AS proposed (document_id, ordinal, place)
JOIN documents ON documents.tenant_id = %(tenant_id)s AND documents.document_id = proposed.document_id
JOIN embeddings ON embeddings.tenant_id = %(tenant_id)s AND embeddings.document_id = proposed.document_id
               AND embeddings.ordinal = proposed.ordinal
JOIN chunk_terms AS terms ON terms.tenant_id = %(tenant_id)s AND terms.document_id = proposed.document_id
                         AND terms.ordinal = proposed.ordinal
LEFT JOIN document_fields AS described
       ON described.tenant_id = documents.tenant_id AND described.document_id = documents.document_id
LEFT JOIN chunks ON chunks.tenant_id = %(tenant_id)s AND chunks.document_id = proposed.document_id
                AND chunks.ordinal = proposed.ordinal
WHERE documents.acl && %(principals)s::text[]
  AND (%(document_filter)s::jsonpath IS NULL
       OR jsonb_path_match(described.fields, %(document_filter)s::jsonpath, %(filter_values)s::jsonb, true))
  AND (%(chunk_filter)s::jsonpath IS NULL
       OR jsonb_path_match(
           CASE WHEN %(place_alone)s::boolean THEN jsonb_build_object() ELSE described.fields END
           || pincite_place(chunks.first_page, chunks.last_page, chunks.heading_path, chunks.sections),
           %(chunk_filter)s::jsonpath, %(filter_values)s::jsonb, true
       ))
