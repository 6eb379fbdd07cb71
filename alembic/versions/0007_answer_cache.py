"""Answers kept for who asks the same again, and who is writing which one now.

Both tables are distributed by tenant_id. What they hold may be lost at any time.
"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

STATEMENTS = (
    # No index on document_ids: a tenant's entries are bounded, and `&&` under row-level security would not use one.
    """
    CREATE TABLE cached_answers (
        tenant_id text NOT NULL REFERENCES tenants ON DELETE CASCADE,
        scope bytea NOT NULL,
        key bytea NOT NULL,
        embedding halfvec,
        document_ids uuid[] NOT NULL,
        answer jsonb NOT NULL,
        semantic_until timestamptz NOT NULL,
        expires_at timestamptz NOT NULL,
        PRIMARY KEY (tenant_id, scope, key)
    )
    """,
    "CREATE INDEX cached_answers_expiry ON cached_answers (tenant_id, expires_at)",
    """
    CREATE TABLE answer_claims (
        tenant_id text NOT NULL REFERENCES tenants ON DELETE CASCADE,
        key bytea NOT NULL,
        holder uuid NOT NULL,
        claimed_at timestamptz NOT NULL,
        expires_at timestamptz NOT NULL,
        PRIMARY KEY (tenant_id, key)
    )
    """,
)

TABLES = ("cached_answers", "answer_claims")


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
    op.execute("DROP TABLE answer_claims, cached_answers")
