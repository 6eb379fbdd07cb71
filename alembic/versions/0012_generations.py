"""Generations of the index: what is made of the documents by a model can be made anew beside what answers.

`index_profile` becomes `generations`, a row each. What belongs to a generation, and lies in a schema of its own from
the second one on, is listed in retrieval/database/generations.py; the first one's tables stay where they are.
A later migration that changes one of these tables does so in the schema of every generation in `generations`.
"""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

STATEMENTS = (
    "ALTER TABLE index_profile RENAME TO generations",
    "ALTER TABLE generations RENAME COLUMN profile_id TO generation_id",
    "ALTER TABLE generations DROP CONSTRAINT index_profile_profile_id_check",
    # `opening`: how the model is opened, never a secret; empty: as it is configured. `paused_until`: writers wait so
    # long while the index is moved to this generation.
    """
    ALTER TABLE generations
        ADD COLUMN opening jsonb NOT NULL DEFAULT '{}',
        ADD COLUMN state text NOT NULL DEFAULT 'live'
            CHECK (state IN ('building', 'ready', 'live', 'retired', 'dropped')),
        ADD COLUMN changed_at timestamptz NOT NULL DEFAULT now(),
        ADD COLUMN paused_until timestamptz NOT NULL DEFAULT '-infinity'
    """,
    "CREATE UNIQUE INDEX generations_live ON generations (state) WHERE state = 'live'",
    # Which version of a document a generation holds, cut by which recipe. `problem`: why it could not be.
    """
    CREATE TABLE cut_documents (
        tenant_id text NOT NULL,
        document_id uuid NOT NULL,
        version integer NOT NULL,
        recipe text NOT NULL,
        chunk_count integer NOT NULL,
        problem text NOT NULL,
        PRIMARY KEY (tenant_id, document_id),
        FOREIGN KEY (tenant_id, document_id) REFERENCES documents ON DELETE CASCADE
    )
    """,
    """
    INSERT INTO cut_documents (tenant_id, document_id, version, recipe, chunk_count, problem)
    SELECT tenant_id, document_id, version, '', chunk_count, '' FROM documents
    """,
    "ALTER TABLE chunks DROP CONSTRAINT chunks_tenant_id_document_id_fkey",
    """
    ALTER TABLE chunks ADD CONSTRAINT chunks_cut_fkey
        FOREIGN KEY (tenant_id, document_id) REFERENCES cut_documents ON DELETE CASCADE
    """,
    # What the text is made of, so that it can be cut anew without its file; NULL of documents from before.
    "ALTER TABLE documents DROP COLUMN chunk_count, ADD COLUMN blocks jsonb",
    "ALTER TABLE cut_documents ENABLE ROW LEVEL SECURITY",
    """
    CREATE POLICY tenant ON cut_documents USING (tenant_id = current_setting('pincite.tenant', true))
        WITH CHECK (tenant_id = current_setting('pincite.tenant', true))
    """,
    "GRANT SELECT, INSERT, UPDATE, DELETE ON cut_documents TO pincite_app",
)

BACK = (
    """
    DO $$ BEGIN
        IF EXISTS (SELECT FROM generations WHERE state = 'live' AND generation_id <> 1) THEN
            RAISE EXCEPTION 'the index was moved to another generation: a schema this old knows only the first one';
        END IF;
    END $$
    """,
    """
    DO $$
    DECLARE found record;
    BEGIN
        FOR found IN SELECT generation_id FROM generations WHERE generation_id <> 1 AND state <> 'dropped' LOOP
            EXECUTE format('DROP SCHEMA IF EXISTS %I CASCADE', 'pincite_g' || found.generation_id);
        END LOOP;
    END $$
    """,
    "ALTER TABLE documents DROP COLUMN blocks, ADD COLUMN chunk_count integer NOT NULL DEFAULT 0",
    """
    UPDATE documents SET chunk_count = cut_documents.chunk_count
    FROM cut_documents
    WHERE cut_documents.tenant_id = documents.tenant_id AND cut_documents.document_id = documents.document_id
    """,
    "ALTER TABLE documents ALTER COLUMN chunk_count DROP DEFAULT",
    "ALTER TABLE chunks DROP CONSTRAINT chunks_cut_fkey",
    """
    ALTER TABLE chunks ADD CONSTRAINT chunks_tenant_id_document_id_fkey
        FOREIGN KEY (tenant_id, document_id) REFERENCES documents ON DELETE CASCADE
    """,
    "DROP TABLE cut_documents",
    "DELETE FROM generations WHERE generation_id <> 1",
    "DROP INDEX generations_live",
    "ALTER TABLE generations DROP COLUMN opening, DROP COLUMN state, DROP COLUMN changed_at, DROP COLUMN paused_until",
    "ALTER TABLE generations RENAME COLUMN generation_id TO profile_id",
    "ALTER TABLE generations ADD CONSTRAINT index_profile_profile_id_check CHECK (profile_id = 1)",
    "ALTER TABLE generations RENAME TO index_profile",
)


def upgrade() -> None:
    _run(STATEMENTS)


def downgrade() -> None:
    _run(BACK)


def _run(statements: tuple[str, ...]) -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for statement in statements:
        # As text of the driver: SQLAlchemy would read a colon as a parameter.
        op.get_bind().exec_driver_sql(statement.replace("%", "%%"))
