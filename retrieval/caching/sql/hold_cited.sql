-- The citations that hold, by position; their documents stay as they are until the answer is kept. One that is being
-- rewritten, deleted or given to others just now is left out: its writer would not see an answer kept meanwhile.
SELECT cited.position
FROM documents
JOIN unnest(%(document_ids)s::uuid[], %(versions)s::integer[], %(char_starts)s::integer[], %(char_ends)s::integer[],
            %(quotes)s::text[], %(redacted)s::boolean[])
     WITH ORDINALITY AS cited (document_id, version, char_start, char_end, quote, redacted, position)
  ON documents.document_id = cited.document_id
WHERE documents.tenant_id = %(tenant_id)s
  AND documents.version = cited.version
  AND documents.acl && %(principals)s::text[]
  AND (cited.redacted
       OR substr(documents.content, cited.char_start + 1, cited.char_end - cited.char_start) = cited.quote)
FOR SHARE OF documents SKIP LOCKED
