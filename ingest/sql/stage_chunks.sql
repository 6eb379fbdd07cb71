COPY staged_chunks (ordinal, heading_path, context, text, char_start, char_end, first_page, last_page, token_count,
                    embedding) FROM STDIN (FORMAT BINARY)
