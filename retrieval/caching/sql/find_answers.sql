-- Answers to this very question, then to nearly the same one, of which every citation holds at this moment: the caller
-- may see the document, it is of that version, and its text has the quote there, unless something was taken out of it.
-- So do the other documents that it was written from: what is not cited may be of their words.
SELECT kept.key = %(key)s AS exact, kept.answer
FROM cached_answers AS kept
WHERE kept.tenant_id = %(tenant_id)s AND kept.scope = %(scope)s AND kept.expires_at > now()
  AND (kept.key = %(key)s
       OR (kept.semantic_until > now() AND -(kept.embedding <#> %(embedding)s::halfvec) >= %(similarity)s))
  AND NOT EXISTS (
      SELECT
      FROM jsonb_to_recordset(kept.answer -> 'citations')
           AS cited (document_id uuid, version integer, char_start integer, char_end integer, quote text, redacted boolean)
      LEFT JOIN documents
             ON documents.tenant_id = %(tenant_id)s AND documents.document_id = cited.document_id
            AND documents.version = cited.version AND documents.acl && %(principals)s::text[]
            AND (cited.redacted
                 OR substr(documents.content, cited.char_start + 1, cited.char_end - cited.char_start) = cited.quote)
      WHERE documents.document_id IS NULL
  )
  AND NOT EXISTS (
      SELECT
      FROM jsonb_to_recordset(kept.answer -> 'sources') AS source (document_id uuid, version integer)
      LEFT JOIN documents
             ON documents.tenant_id = %(tenant_id)s AND documents.document_id = source.document_id
            AND documents.version = source.version AND documents.acl && %(principals)s::text[]
      WHERE documents.document_id IS NULL
  )
ORDER BY exact DESC, kept.embedding <#> %(embedding)s::halfvec
LIMIT 5
