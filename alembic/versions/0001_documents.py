"""Tenants, keys, the index profile; documents, chunks, their vectors and their words.

Table classes, for a distributed Postgres later (tests/contract/test_catalog.py keeps the rules):
reference: tenants, api_keys, index_profile · distributed by tenant_id: all others.
"""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

STATEMENTS = (
    "CREATE EXTENSION IF NOT EXISTS vector",
    """
    DO $$ BEGIN
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'pincite_app') THEN
            CREATE ROLE pincite_app NOLOGIN NOSUPERUSER NOBYPASSRLS;
        END IF;
        -- From Postgres 16 on, who creates a role may administer it but not act as it.
        IF current_setting('server_version_num')::integer >= 160000 THEN
            IF NOT pg_has_role(current_user, 'pincite_app', 'SET') THEN
                EXECUTE format('GRANT pincite_app TO %I WITH SET TRUE', current_user);
            END IF;
        ELSIF NOT pg_has_role(current_user, 'pincite_app', 'MEMBER') THEN
            EXECUTE format('GRANT pincite_app TO %I', current_user);
        END IF;
    END $$
    """,
    """
    CREATE TABLE tenants (
        tenant_id text PRIMARY KEY,
        created_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    """
    CREATE TABLE api_keys (
        key_id text PRIMARY KEY,
        tenant_id text NOT NULL REFERENCES tenants ON DELETE CASCADE,
        name text NOT NULL,
        secret_hash bytea NOT NULL,
        scopes text[] NOT NULL,
        principals text[] NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        revoked_at timestamptz
    )
    """,
    """
    CREATE TABLE index_profile (
        profile_id integer PRIMARY KEY CHECK (profile_id = 1),
        embedder text NOT NULL,
        dimensions integer NOT NULL CHECK (dimensions BETWEEN 1 AND 4000),
        created_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    # toast_tuple_target: the long content moves out of line, so that reading ACLs stays a read of few pages.
    """
    CREATE TABLE documents (
        tenant_id text NOT NULL REFERENCES tenants ON DELETE CASCADE,
        document_id uuid NOT NULL,
        uri text NOT NULL CHECK (char_length(uri) BETWEEN 1 AND 600),
        title text NOT NULL,
        acl text[] NOT NULL CHECK (cardinality(acl) > 0),
        metadata jsonb NOT NULL,
        language text NOT NULL,
        content_type text NOT NULL,
        content text NOT NULL,
        page_starts integer[] NOT NULL,
        fingerprint bytea NOT NULL,
        version integer NOT NULL,
        chunk_count integer NOT NULL,
        updated_at timestamptz NOT NULL,
        PRIMARY KEY (tenant_id, document_id),
        UNIQUE (tenant_id, uri)
    ) WITH (fillfactor = 80, toast_tuple_target = 256)
    """,
    """
    CREATE TABLE chunks (
        tenant_id text NOT NULL,
        document_id uuid NOT NULL,
        ordinal integer NOT NULL,
        heading_path text[] NOT NULL,
        sections jsonb NOT NULL,
        context text NOT NULL,
        text text NOT NULL,
        char_start integer NOT NULL,
        char_end integer NOT NULL CHECK (char_end > char_start),
        first_page integer,
        last_page integer,
        page_starts integer[] NOT NULL,
        token_count integer NOT NULL,
        PRIMARY KEY (tenant_id, document_id, ordinal),
        FOREIGN KEY (tenant_id, document_id) REFERENCES documents ON DELETE CASCADE
    )
    """,
    # Apart from the text, so that a halfvec stays inline and an exact scan reads nothing else.
    """
    CREATE TABLE embeddings (
        tenant_id text NOT NULL,
        document_id uuid NOT NULL,
        ordinal integer NOT NULL,
        embedding halfvec NOT NULL,
        PRIMARY KEY (tenant_id, document_id, ordinal),
        FOREIGN KEY (tenant_id, document_id, ordinal) REFERENCES chunks ON DELETE CASCADE
    )
    """,
    "ALTER TABLE embeddings ALTER COLUMN embedding SET STORAGE PLAIN",
    # No row-level security here, on purpose: `&&` is not leakproof, so a policy would take the GIN index away.
    # The rows hold hashed words only, the hash is salted with the tenant, and every read joins `documents`.
    """
    CREATE TABLE chunk_terms (
        tenant_id text NOT NULL,
        document_id uuid NOT NULL,
        ordinal integer NOT NULL,
        term_keys bigint[] NOT NULL,
        weights sparsevec(1000000000) NOT NULL,
        PRIMARY KEY (tenant_id, document_id, ordinal),
        FOREIGN KEY (tenant_id, document_id, ordinal) REFERENCES chunks ON DELETE CASCADE
    )
    """,
    "CREATE INDEX chunk_terms_term_keys ON chunk_terms USING gin (term_keys)",
    """
    CREATE TABLE term_statistics (
        tenant_id text NOT NULL REFERENCES tenants ON DELETE CASCADE,
        term_key bigint NOT NULL,
        chunk_count bigint NOT NULL,
        PRIMARY KEY (tenant_id, term_key)
    ) WITH (fillfactor = 70)
    """,
    """
    CREATE TABLE language_statistics (
        tenant_id text NOT NULL REFERENCES tenants ON DELETE CASCADE,
        language text NOT NULL,
        chunk_count bigint NOT NULL,
        PRIMARY KEY (tenant_id, language)
    ) WITH (fillfactor = 70)
    """,
    # One definition of "the words of a text", for chunks and questions alike. 'ERR-4012' is read as two words,
    # where Postgres would read a word and the number -4012, which '4012' alone would then not match.
    """
    CREATE FUNCTION pincite_terms(tenant_id text, language text, content text)
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
    """,
    # A word's place in the sparse vector. Two words of a tenant share one about once in a thousand million.
    """
    CREATE FUNCTION pincite_dimension(term_key bigint) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS 'SELECT ((term_key & 9007199254740991) % 1000000000 + 1)::integer'
    """,
)

SECURED = ("documents", "chunks", "embeddings", "term_statistics", "language_statistics")
WRITTEN = (*SECURED, "chunk_terms")


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for statement in STATEMENTS:
        op.execute(statement)
    for table in SECURED:
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY tenant ON {table} USING (tenant_id = current_setting('pincite.tenant', true))"
            " WITH CHECK (tenant_id = current_setting('pincite.tenant', true))"
        )
    for table in WRITTEN:
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO pincite_app")
    op.execute("GRANT SELECT, INSERT ON tenants, index_profile TO pincite_app")


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute(
        "DROP TABLE language_statistics, term_statistics, chunk_terms, embeddings, chunks, documents,"
        " index_profile, api_keys, tenants"
    )
    op.execute("DROP FUNCTION pincite_terms, pincite_dimension")
