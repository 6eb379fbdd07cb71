"""What language models cost: each call's row, what each principal may spend, and what it has spent in this window."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

STATEMENTS = (
    # One row a tenant: who books takes it first, so that bookings of a tenant happen one after another.
    """
    CREATE TABLE spending_accounts (
        tenant_id text PRIMARY KEY REFERENCES tenants ON DELETE CASCADE,
        calls bigint NOT NULL
    ) WITH (fillfactor = 50)
    """,
    # While a call is reserved, its tokens and cost are the most it may take; then what it took.
    """
    CREATE TABLE spending_calls (
        tenant_id text NOT NULL REFERENCES tenants ON DELETE CASCADE,
        number bigint NOT NULL,
        request_id text NOT NULL,
        key_id text NOT NULL,
        principals text[] NOT NULL,
        endpoint text NOT NULL,
        model text NOT NULL,
        state text NOT NULL CHECK (state IN ('reserved', 'settled', 'released')),
        priced boolean NOT NULL,
        estimated boolean NOT NULL,
        prompt_tokens bigint NOT NULL CHECK (prompt_tokens >= 0),
        completion_tokens bigint NOT NULL CHECK (completion_tokens >= 0),
        nano_usd bigint NOT NULL CHECK (nano_usd >= 0),
        reserved_at timestamptz NOT NULL,
        expires_at timestamptz NOT NULL,
        PRIMARY KEY (tenant_id, number)
    ) WITH (fillfactor = 80)
    """,
    "CREATE INDEX spending_calls_reserved_at ON spending_calls (tenant_id, reserved_at)",
    """
    CREATE TABLE budgets (
        tenant_id text NOT NULL REFERENCES tenants ON DELETE CASCADE,
        principal text NOT NULL,
        period text NOT NULL CHECK (period IN ('hour', 'day', 'month')),
        unit text NOT NULL CHECK (unit IN ('tokens', 'nano_usd')),
        amount bigint NOT NULL CHECK (amount >= 0),
        PRIMARY KEY (tenant_id, principal, period, unit)
    )
    """,
    """
    CREATE TABLE spending_windows (
        tenant_id text NOT NULL REFERENCES tenants ON DELETE CASCADE,
        principal text NOT NULL,
        period text NOT NULL,
        starts_at timestamptz NOT NULL,
        tokens bigint NOT NULL,
        nano_usd bigint NOT NULL,
        PRIMARY KEY (tenant_id, principal, period, starts_at)
    ) WITH (fillfactor = 50)
    """,
)

TABLES = ("spending_accounts", "spending_calls", "budgets", "spending_windows")


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
    op.execute("DROP TABLE spending_windows, budgets, spending_calls, spending_accounts")
