"""What a chunk goes on from, such as its table's header; and what a language model wrote of where a chunk stands.

`chunk_contexts` is distributed by tenant_id. It saves calls to a model, and may be lost at any time.
"""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

STATEMENTS = (
    """
    CREATE TABLE chunk_contexts (
        tenant_id text NOT NULL,
        document_id uuid NOT NULL,
        key bytea NOT NULL,
        context text NOT NULL,
        PRIMARY KEY (tenant_id, document_id, key),
        FOREIGN KEY (tenant_id, document_id) REFERENCES documents ON DELETE CASCADE
    )
    """,
    "ALTER TABLE chunk_contexts ENABLE ROW LEVEL SECURITY",
    """
    CREATE POLICY tenant ON chunk_contexts
    USING (tenant_id = current_setting('pincite.tenant', true))
    WITH CHECK (tenant_id = current_setting('pincite.tenant', true))
    """,
    "GRANT SELECT, INSERT, UPDATE, DELETE ON chunk_contexts TO pincite_app",
)


SCHEMAS = """
    SELECT schemaname FROM pg_tables
    WHERE tablename = 'chunks' AND (schemaname = 'public' OR schemaname ~ '^pincite_g[0-9]+$')
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    _alter_chunks("ADD COLUMN lead text NOT NULL DEFAULT ''")
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP TABLE chunk_contexts")
    _alter_chunks("DROP COLUMN lead")


def _alter_chunks(change: str) -> None:
    """In every generation of the index."""
    for (schema,) in op.get_bind().exec_driver_sql(SCHEMAS).fetchall():
        op.execute(f"ALTER TABLE {schema}.chunks {change}")
