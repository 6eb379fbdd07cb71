-- Which of these citations hold at this moment: the caller may see the document, and its text has the quote there.
SELECT cited.position
FROM unnest(%(document_ids)s::uuid[], %(char_starts)s::integer[], %(char_ends)s::integer[], %(quotes)s::text[])
     WITH ORDINALITY AS cited (document_id, char_start, char_end, quote, position)
JOIN documents ON documents.tenant_id = %(tenant_id)s AND documents.document_id = cited.document_id
WHERE documents.acl && %(principals)s::text[]
  AND substr(documents.content, cited.char_start + 1, cited.char_end - cited.char_start) = cited.quote
