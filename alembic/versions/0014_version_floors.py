"""The highest version of a tenant's deleted documents: one that is added anew goes on above it.

Who read a document before its deletion, an answer or the builder of a generation, must not take another text for it.
`version_floors` is distributed by tenant_id.
"""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

STATEMENTS = (
    """
    CREATE TABLE version_floors (
        tenant_id text PRIMARY KEY REFERENCES tenants ON DELETE CASCADE,
        version integer NOT NULL
    )
    """,
    "ALTER TABLE version_floors ENABLE ROW LEVEL SECURITY",
    """
    CREATE POLICY tenant ON version_floors
    USING (tenant_id = current_setting('pincite.tenant', true))
    WITH CHECK (tenant_id = current_setting('pincite.tenant', true))
    """,
    "GRANT SELECT, INSERT, UPDATE, DELETE ON version_floors TO pincite_app",
)


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP TABLE version_floors")
