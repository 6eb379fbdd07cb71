-- COPY cannot write to a table with row-level security; it fills this one, and INSERT carries on from there.
CREATE TEMPORARY TABLE IF NOT EXISTS staged_chunks (
    document_id uuid,
    language text,
    ordinal integer,
    heading_path text[],
    sections jsonb,
    context text,
    lead text,
    text text,
    char_start integer,
    char_end integer,
    first_page integer,
    last_page integer,
    page_starts integer[],
    token_count integer,
    embedding halfvec
) ON COMMIT DELETE ROWS
