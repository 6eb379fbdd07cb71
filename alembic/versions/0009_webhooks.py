"""Webhooks: who wants to be told, of what, and how far that has come.

All four tables are distributed by tenant_id. `webhook_secrets` holds what messages are signed with: it must be
readable to sign, so it is sealed by the operator's key where there is one.
"""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

STATEMENTS = (
    """
    CREATE TABLE webhook_endpoints (
        tenant_id text NOT NULL REFERENCES tenants ON DELETE CASCADE,
        endpoint_id uuid NOT NULL,
        url text NOT NULL,
        events text[] NOT NULL,
        enabled boolean NOT NULL DEFAULT true,
        failures integer NOT NULL DEFAULT 0,
        resting_until timestamptz NOT NULL DEFAULT now(),
        created_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (tenant_id, endpoint_id)
    ) WITH (fillfactor = 70)
    """,
    """
    CREATE TABLE webhook_secrets (
        tenant_id text NOT NULL,
        endpoint_id uuid NOT NULL,
        secret_id uuid NOT NULL,
        secret text NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        valid_until timestamptz NOT NULL DEFAULT 'infinity',
        PRIMARY KEY (tenant_id, endpoint_id, secret_id),
        FOREIGN KEY (tenant_id, endpoint_id) REFERENCES webhook_endpoints ON DELETE CASCADE
    )
    """,
    """
    CREATE TABLE webhook_messages (
        tenant_id text NOT NULL REFERENCES tenants ON DELETE CASCADE,
        message_id uuid NOT NULL,
        type text NOT NULL,
        data jsonb NOT NULL,
        created_at timestamptz NOT NULL,
        PRIMARY KEY (tenant_id, message_id)
    )
    """,
    "CREATE INDEX webhook_messages_created_at ON webhook_messages (tenant_id, created_at, message_id)",
    """
    CREATE TABLE webhook_deliveries (
        tenant_id text NOT NULL,
        endpoint_id uuid NOT NULL,
        message_id uuid NOT NULL,
        state text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'delivered', 'failed')),
        attempts integer NOT NULL DEFAULT 0,
        due_since timestamptz NOT NULL,
        next_attempt_at timestamptz NOT NULL,
        outcome text NOT NULL DEFAULT 'not_tried',
        PRIMARY KEY (tenant_id, endpoint_id, message_id),
        FOREIGN KEY (tenant_id, endpoint_id) REFERENCES webhook_endpoints ON DELETE CASCADE,
        FOREIGN KEY (tenant_id, message_id) REFERENCES webhook_messages ON DELETE CASCADE
    ) WITH (fillfactor = 70)
    """,
    "CREATE INDEX webhook_deliveries_message ON webhook_deliveries (tenant_id, message_id)",
    """
    CREATE INDEX webhook_deliveries_due ON webhook_deliveries (tenant_id, endpoint_id, next_attempt_at)
    WHERE state = 'pending'
    """,
)

FUNCTIONS = (
    # As pincite_wake(): one waiting telling per tenant, held until the caller's transaction ends, so that no worker
    # takes it before there is something to be seen.
    """
    CREATE FUNCTION pincite_wake_telling(tenant text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public
    AS $$
    BEGIN
        LOOP
            PERFORM FROM procrastinate_jobs
            WHERE queueing_lock = 'tell:' || tenant AND status = 'todo'
            FOR KEY SHARE;
            EXIT WHEN FOUND;
            BEGIN
                PERFORM procrastinate_defer_jobs_v1(ARRAY[ROW(
                    'telling', 'tell', 0, NULL, 'tell:' || tenant, jsonb_build_object('tenant', tenant), NULL
                )::procrastinate_job_to_defer_v1]);
                EXIT;
            EXCEPTION WHEN unique_violation THEN
                NULL;  -- another transaction was first: hold its telling
            END;
        END LOOP;
    END
    $$
    """,
    """
    CREATE FUNCTION pincite_wake_telling_at(tenant text, moment timestamptz) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public
    AS $$
    BEGIN
        PERFORM procrastinate_defer_jobs_v1(ARRAY[ROW(
            'telling', 'tell', 0, NULL, 'tell:' || tenant || ':' || extract(epoch FROM date_trunc('second', moment)),
            jsonb_build_object('tenant', tenant), moment
        )::procrastinate_job_to_defer_v1]);
    EXCEPTION WHEN unique_violation THEN
        NULL;  -- somebody asked for the same second
    END
    $$
    """,
)

TABLES = ("webhook_endpoints", "webhook_secrets", "webhook_messages", "webhook_deliveries")


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
    for function in FUNCTIONS:
        # Not op.execute: it would read colons as parameters.
        op.get_bind().connection.driver_connection.execute(function)
    for signature in ("pincite_wake_telling(text)", "pincite_wake_telling_at(text, timestamptz)"):
        op.execute(f"REVOKE ALL ON FUNCTION {signature} FROM PUBLIC")
        op.execute(f"GRANT EXECUTE ON FUNCTION {signature} TO pincite_app")


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP FUNCTION pincite_wake_telling, pincite_wake_telling_at")
    op.execute("DROP TABLE webhook_deliveries, webhook_messages, webhook_secrets, webhook_endpoints")
