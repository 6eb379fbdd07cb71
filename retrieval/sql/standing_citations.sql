-- Which of these citations hold at this moment: the caller may see the document, and its text has the quote there; a
-- quote of which something was taken out holds for the version it is from.
SELECT cited.position
FROM unnest(%(document_ids)s::uuid[], %(versions)s::integer[], %(char_starts)s::integer[], %(char_ends)s::integer[],
            %(quotes)s::text[], %(redacted)s::boolean[])
     WITH ORDINALITY AS cited (document_id, version, char_start, char_end, quote, redacted, position)
JOIN documents ON documents.tenant_id = %(tenant_id)s AND documents.document_id = cited.document_id
WHERE documents.acl && %(principals)s::text[]
  AND CASE WHEN cited.redacted THEN documents.version = cited.version
           ELSE substr(documents.content, cited.char_start + 1, cited.char_end - cited.char_start) = cited.quote END
