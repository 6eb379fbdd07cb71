"""Codes, paths and addresses are found by their parts too: every chunk's words are read anew.

Postgres' parser takes `100/B`, `foo_bar.baz`, `Q3/2024`, an address or a path for one word, `-05` of a date for a
number below zero, and does not read `<tag>` at all. All of that is kept, and what it is made of is added.
No file is read and nothing is embedded again; it takes about a millisecond a chunk.
"""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# Each text is read twice: as it stands, and with whatever joins words into one taken out. What stands in one reading
# only is added, what stands in both is counted once. `1.5` is never taken apart; `ERR4012` is, `H2O` is not.
_WITH_PARTS = """
    CREATE OR REPLACE FUNCTION pincite_terms(tenant_id text, language text, content text)
    RETURNS TABLE (term_key bigint, frequency integer)
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
        SELECT ('x' || left(md5(tenant_id || chr(31) || language || chr(31) || words.lexeme), 16))::bit(64)::bigint,
               max(cardinality(words.positions))
        FROM unnest(ARRAY[
            regexp_replace(content, '(?<=[[:alnum:]])-(?=[[:digit:]])', ' ', 'g'),
            regexp_replace(
                content,
                '[][<>/\\\\@=?&#:|_]|-(?=[[:digit:]])'
                '|(?<=[[:alpha:]])\\.(?=[[:alnum:]])|(?<=[[:alnum:]])\\.(?=[[:alpha:]])'
                '|(?<=[[:alpha:]]{2})(?=[[:digit:]]{2})|(?<=\\m[vV])(?=[[:digit:]]+\\.)',
                ' ', 'g')
        ]) AS reading
        CROSS JOIN unnest(to_tsvector(
            CASE language WHEN 'en' THEN 'pg_catalog.english'::regconfig
                          WHEN 'de' THEN 'pg_catalog.german'::regconfig
                          ELSE 'pg_catalog.simple'::regconfig END,
            reading
        )) AS words
        GROUP BY words.lexeme
    $$
"""

_AS_BEFORE = """
    CREATE OR REPLACE FUNCTION pincite_terms(tenant_id text, language text, content text)
    RETURNS TABLE (term_key bigint, frequency integer)
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
        SELECT ('x' || left(md5(tenant_id || chr(31) || language || chr(31) || lexeme), 16))::bit(64)::bigint,
               cardinality(positions)
        FROM unnest(to_tsvector(
            CASE language WHEN 'en' THEN 'pg_catalog.english'::regconfig
                          WHEN 'de' THEN 'pg_catalog.german'::regconfig
                          ELSE 'pg_catalog.simple'::regconfig END,
            regexp_replace(content, '([[:alpha:]])-([[:digit:]])', '\\1 \\2', 'g')
        ))
    $$
"""

# What ingest/sql/add_terms.sql and count_terms.sql did when this was written, for all documents at once.
_READ_ANEW = (
    # No writer may add words in the old reading meanwhile. Searches go on: the index stays, though that is slower.
    "LOCK TABLE documents, chunk_terms IN SHARE ROW EXCLUSIVE MODE",
    "DELETE FROM chunk_terms",
    """
    WITH words AS (
        SELECT chunks.tenant_id, chunks.document_id, chunks.ordinal, terms.term_key, terms.frequency,
               sum(terms.frequency) OVER (PARTITION BY chunks.tenant_id, chunks.document_id, chunks.ordinal) AS length
        FROM chunks
        JOIN documents ON documents.tenant_id = chunks.tenant_id AND documents.document_id = chunks.document_id
        CROSS JOIN LATERAL pincite_terms(
            chunks.tenant_id, documents.language, chunks.context || E'\\n' || chunks.text
        ) AS terms
    ), weights AS (
        SELECT tenant_id, document_id, ordinal, pincite_dimension(term_key) AS dimension,
               max(frequency / (frequency + 1.2 * (0.25 + 0.75 * length / 100.0)))::real AS weight
        FROM words
        GROUP BY tenant_id, document_id, ordinal, dimension
    ), vectors AS (
        SELECT tenant_id, document_id, ordinal,
               '{' || string_agg(dimension || ':' || weight, ',' ORDER BY dimension) || '}/1000000000' AS weights
        FROM weights
        GROUP BY tenant_id, document_id, ordinal
    ), keys AS (
        SELECT tenant_id, document_id, ordinal, array_agg(term_key ORDER BY term_key) AS term_keys
        FROM words
        GROUP BY tenant_id, document_id, ordinal
    )
    INSERT INTO chunk_terms (tenant_id, document_id, ordinal, term_keys, weights)
    SELECT tenant_id, document_id, ordinal,
           coalesce(keys.term_keys, '{}'), coalesce(vectors.weights, '{}/1000000000')::sparsevec
    FROM chunks
    LEFT JOIN keys USING (tenant_id, document_id, ordinal)
    LEFT JOIN vectors USING (tenant_id, document_id, ordinal)
    """,
    "DELETE FROM term_statistics",
    """
    INSERT INTO term_statistics (tenant_id, term_key, chunk_count)
    SELECT tenant_id, term_key, count(*)
    FROM chunk_terms CROSS JOIN LATERAL unnest(term_keys) AS term_key
    GROUP BY tenant_id, term_key
    """,
)


def upgrade() -> None:
    _redefine(_WITH_PARTS)


def downgrade() -> None:
    _redefine(_AS_BEFORE)


def _redefine(terms: str) -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for statement in (terms, *_READ_ANEW):
        op.execute(statement)
