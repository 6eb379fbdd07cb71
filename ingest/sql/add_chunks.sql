-- The staged chunks.
INSERT INTO chunks (tenant_id, document_id, ordinal, heading_path, sections, context, lead, text, char_start, char_end, first_page,
                    last_page, page_starts, token_count)
SELECT %(tenant_id)s, document_id, ordinal, heading_path, sections, context, lead, text, char_start, char_end, first_page,
       last_page, page_starts, token_count
FROM staged_chunks
ORDER BY document_id, ordinal
