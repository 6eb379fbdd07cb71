"""Who may see what, the other way round: each principal's documents, and how many chunks they hold.

For the planner of searches. `documents.acl` stays the truth that every read is held against. The one vector index of
all tenants goes: large tenants get one of their own at their next ingest, small ones need none (DECISIONS.md).
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

STATEMENTS = (
    """
    CREATE TABLE grants (
        tenant_id text NOT NULL,
        principal text NOT NULL,
        document_id uuid NOT NULL,
        PRIMARY KEY (tenant_id, principal, document_id),
        FOREIGN KEY (tenant_id, document_id) REFERENCES documents ON DELETE CASCADE
    )
    """,
    "CREATE INDEX grants_document ON grants (tenant_id, document_id)",
    """
    CREATE TABLE principal_statistics (
        tenant_id text NOT NULL REFERENCES tenants ON DELETE CASCADE,
        principal text NOT NULL,
        chunk_count bigint NOT NULL,
        PRIMARY KEY (tenant_id, principal)
    ) WITH (fillfactor = 70)
    """,
    """
    INSERT INTO grants (tenant_id, principal, document_id)
    SELECT DISTINCT tenant_id, principal, document_id FROM documents CROSS JOIN LATERAL unnest(acl) AS principal
    """,
    """
    INSERT INTO principal_statistics (tenant_id, principal, chunk_count)
    SELECT tenant_id, principal, sum(chunk_count) FROM grants JOIN documents USING (tenant_id, document_id)
    GROUP BY tenant_id, principal
    """,
    "DROP INDEX IF EXISTS embeddings_hnsw",
)

TABLES = ("grants", "principal_statistics")


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
    op.execute("DROP TABLE principal_statistics, grants")
