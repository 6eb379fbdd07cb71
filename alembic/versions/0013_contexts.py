"""What a chunk goes on from, such as its table's header; and what a language model wrote of where a chunk stands.

`chunk_contexts` is distributed by tenant_id. It saves calls to a model, and may be lost at any time.
"""

from alembic import op

revision = "0013"
down_revision = "0011"
branch_labels = None
depends_on = None

STATEMENTS = (
    "ALTER TABLE chunks ADD COLUMN lead text NOT NULL DEFAULT ''",
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


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP TABLE chunk_contexts")
    op.execute("ALTER TABLE chunks DROP COLUMN lead")
