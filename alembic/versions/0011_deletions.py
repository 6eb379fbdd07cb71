"""Receipts of what was deleted, and tenants that are leaving.

Receipts refer to no tenant and no document: they are there to be read when both are gone.
"""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

STATEMENTS = (
    """
    CREATE TABLE deletion_receipts (
        tenant_id text NOT NULL,
        receipt_id uuid NOT NULL,
        scope text NOT NULL CHECK (scope IN ('documents', 'filter', 'tenant')),
        asked bytea NOT NULL,
        asked_by text NOT NULL,
        asked_at timestamptz NOT NULL,
        state text NOT NULL CHECK (state IN ('under_way', 'complete')),
        invisible_at timestamptz NOT NULL,
        removed jsonb NOT NULL,
        digest bytea NOT NULL,
        PRIMARY KEY (tenant_id, receipt_id)
    )
    """,
    # A document's id follows from its tenant and uri: who knows the uri finds it, and it tells the uri to nobody else.
    """
    CREATE TABLE deleted_documents (
        tenant_id text NOT NULL,
        receipt_id uuid NOT NULL,
        document_id uuid NOT NULL,
        PRIMARY KEY (tenant_id, receipt_id, document_id),
        FOREIGN KEY (tenant_id, receipt_id) REFERENCES deletion_receipts ON DELETE CASCADE
    )
    """,
    "ALTER TABLE tenants ADD COLUMN leaving_at timestamptz",
    # Part of the beginning of every tenant transaction: from the mark on, nobody reads or writes the tenant's data.
    """
    CREATE FUNCTION pincite_enter(wanted text) RETURNS void
    LANGUAGE plpgsql STABLE
    AS $$
    BEGIN
        IF EXISTS (SELECT FROM tenants WHERE tenant_id = wanted AND leaving_at IS NOT NULL) THEN
            RAISE EXCEPTION 'tenant is leaving' USING ERRCODE = 'PCT01';
        END IF;
    END $$
    """,
)

TABLES = ("deletion_receipts", "deleted_documents")


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for statement in STATEMENTS:
        op.execute(statement)
    for table in TABLES:
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY tenant ON {table} USING (tenant_id = current_setting('pincite.tenant', true))"
            " WITH CHECK (tenant_id = current_setting('pincite.tenant', true))"
        )
        # No DELETE: what the service deletes, it cannot unsay.
        op.execute(f"GRANT SELECT, INSERT, UPDATE ON {table} TO pincite_app")


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP FUNCTION pincite_enter")
    op.execute("ALTER TABLE tenants DROP COLUMN leaving_at")
    op.execute("DROP TABLE deleted_documents, deletion_receipts")
