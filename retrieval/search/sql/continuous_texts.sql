-- The stored text at each of these spans, of documents that are still the same version and may still be seen.
SELECT spans.document_id,
       spans.char_start,
       substr(documents.content, spans.char_start + 1, spans.char_end - spans.char_start) AS text
FROM unnest(%(document_ids)s::uuid[], %(versions)s::integer[], %(char_starts)s::integer[], %(char_ends)s::integer[])
     AS spans (document_id, version, char_start, char_end)
JOIN documents ON documents.tenant_id = %(tenant_id)s AND documents.document_id = spans.document_id
              AND documents.version = spans.version
WHERE documents.acl && %(principals)s::text[]
