"""Answers that are kept for a while, so that asking again with the same key gives the same answer.

`kept_answers` holds one row for each attempt, `kept_events` its events in batches, `kept_sources` which version of
which document it shows: a reader gets nothing of it unless all of these still stand.
"""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

STATEMENTS = (
    """
    CREATE TABLE kept_answers (
        tenant_id text NOT NULL REFERENCES tenants ON DELETE CASCADE,
        answer_id uuid NOT NULL,
        slot bytea NOT NULL,
        owner bytea NOT NULL,
        request bytea NOT NULL,
        state text NOT NULL CHECK (state IN ('running', 'finished', 'failed', 'withdrawn')),
        lease_until timestamptz NOT NULL,
        followed_until timestamptz NOT NULL,
        expires_at timestamptz NOT NULL,
        PRIMARY KEY (tenant_id, answer_id),
        UNIQUE (tenant_id, slot)
    ) WITH (fillfactor = 70)
    """,
    "CREATE INDEX kept_answers_expires_at ON kept_answers (tenant_id, expires_at)",
    """
    CREATE TABLE kept_events (
        tenant_id text NOT NULL,
        answer_id uuid NOT NULL,
        last_number integer NOT NULL,
        events text NOT NULL,
        PRIMARY KEY (tenant_id, answer_id, last_number),
        FOREIGN KEY (tenant_id, answer_id) REFERENCES kept_answers ON DELETE CASCADE
    )
    """,
    """
    CREATE TABLE kept_sources (
        tenant_id text NOT NULL,
        answer_id uuid NOT NULL,
        document_id uuid NOT NULL,
        version integer NOT NULL,
        PRIMARY KEY (tenant_id, answer_id, document_id, version),
        FOREIGN KEY (tenant_id, answer_id) REFERENCES kept_answers ON DELETE CASCADE
    )
    """,
    "CREATE INDEX kept_sources_document ON kept_sources (tenant_id, document_id)",
)

TABLES = ("kept_answers", "kept_events", "kept_sources")


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
    op.execute("DROP TABLE kept_sources, kept_events, kept_answers")
