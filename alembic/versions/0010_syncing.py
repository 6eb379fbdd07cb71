"""What is known of the sources that are synced: each source's last run, and each document's state when it was stored.

Both tables are distributed by tenant_id. A uri belongs to one source: another that lists it is told so.
"""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

STATEMENTS = (
    """
    CREATE TABLE sync_sources (
        tenant_id text NOT NULL REFERENCES tenants ON DELETE CASCADE,
        source text NOT NULL,
        outcome text NOT NULL CHECK (outcome IN ('running', 'complete', 'incomplete')),
        started_at timestamptz NOT NULL,
        PRIMARY KEY (tenant_id, source)
    )
    """,
    # An empty marker is no state: the uri is taken, its bytes are read again.
    """
    CREATE TABLE sync_items (
        tenant_id text NOT NULL,
        uri text NOT NULL,
        source text NOT NULL,
        path text NOT NULL,
        marker text NOT NULL,
        recipe text NOT NULL,
        fingerprint bytea NOT NULL,
        failure text NOT NULL,
        message text NOT NULL,
        remembered jsonb NOT NULL,
        PRIMARY KEY (tenant_id, uri),
        FOREIGN KEY (tenant_id, source) REFERENCES sync_sources ON DELETE CASCADE
    )
    """,
    "CREATE INDEX sync_items_source ON sync_items (tenant_id, source)",
)

TABLES = ("sync_sources", "sync_items")


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
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO pincite_app")


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP TABLE sync_items, sync_sources")
