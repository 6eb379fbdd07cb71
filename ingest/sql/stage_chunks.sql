COPY staged_chunks (document_id, language, ordinal, heading_path, sections, context, lead, text, char_start, char_end, first_page,
                    last_page, page_starts, token_count, embedding) FROM STDIN (FORMAT BINARY)
