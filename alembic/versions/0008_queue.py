"""Documents that were handed in and wait to be indexed, and the jobs they came in.

`revisions` holds each state of a document that was ever handed in, `uploads` its bytes until it is settled, `jobs` what
was handed in together and how far it has come. Which tenant has work waiting is told to the workers through
procrastinate, whose tables are local ones in a distributed Postgres and hold tenants' names only.
"""

from pathlib import Path

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

# As the library had it when this was written: a newer one's migrations get revisions of their own.
_PROCRASTINATE = Path(__file__).with_name("0008_procrastinate_3.10.sql")

STATEMENTS = (
    """
    CREATE TABLE jobs (
        tenant_id text NOT NULL REFERENCES tenants ON DELETE CASCADE,
        job_id uuid NOT NULL,
        submitter text NOT NULL,
        idempotency_key text,
        request bytea,
        submitted_at timestamptz NOT NULL,
        finished_at timestamptz,
        total integer NOT NULL CHECK (total > 0),
        waiting integer NOT NULL CHECK (waiting >= 0),
        indexed integer NOT NULL DEFAULT 0,
        updated integer NOT NULL DEFAULT 0,
        unchanged integer NOT NULL DEFAULT 0,
        failed integer NOT NULL DEFAULT 0,
        superseded integer NOT NULL DEFAULT 0,
        cancelled integer NOT NULL DEFAULT 0,
        PRIMARY KEY (tenant_id, job_id),
        UNIQUE (tenant_id, submitter, idempotency_key),
        CHECK (total = waiting + indexed + updated + unchanged + failed + superseded + cancelled),
        CHECK ((waiting = 0) = (finished_at IS NOT NULL))
    ) WITH (fillfactor = 70)
    """,
    "CREATE INDEX jobs_submitted_at ON jobs (tenant_id, submitted_at DESC, job_id)",
    """
    CREATE TABLE revisions (
        tenant_id text NOT NULL,
        revision_id uuid NOT NULL,
        job_id uuid NOT NULL,
        position integer NOT NULL,
        document_id uuid NOT NULL,
        uri text NOT NULL CHECK (char_length(uri) BETWEEN 1 AND 600),
        file_name text NOT NULL,
        url text,
        title text,
        language text,
        acl text[] NOT NULL CHECK (cardinality(acl) > 0),
        metadata jsonb NOT NULL,
        bytes integer NOT NULL,
        state text NOT NULL CHECK (state IN
            ('queued', 'running', 'indexed', 'updated', 'unchanged', 'failed', 'superseded', 'cancelled')),
        attempts integer NOT NULL DEFAULT 0,
        losses integer NOT NULL DEFAULT 0,
        due_at timestamptz NOT NULL,
        turn_id bigint,
        claim_id uuid,
        version integer,
        error_code text,
        error_message text,
        submitted_at timestamptz NOT NULL,
        settled_at timestamptz,
        PRIMARY KEY (tenant_id, revision_id),
        FOREIGN KEY (tenant_id, job_id) REFERENCES jobs ON DELETE CASCADE
    ) WITH (fillfactor = 70)
    """,
    "CREATE INDEX revisions_queued ON revisions (tenant_id, submitted_at, position) WHERE state = 'queued'",
    # One state of a document is on its way at a time: a later one takes its place.
    "CREATE UNIQUE INDEX revisions_open ON revisions (tenant_id, document_id) WHERE state IN ('queued', 'running')",
    "CREATE INDEX revisions_running ON revisions (tenant_id, turn_id, claim_id) WHERE state = 'running'",
    "CREATE INDEX revisions_job ON revisions (tenant_id, job_id, position)",
    "CREATE INDEX revisions_document ON revisions (tenant_id, document_id, submitted_at DESC)",
    # A manager's list: what is not searched as it was handed in last, by uri.
    """
    CREATE INDEX revisions_uri ON revisions (tenant_id, uri, state)
    WHERE state IN ('queued', 'running', 'failed')
    """,
    """
    CREATE TABLE uploads (
        tenant_id text NOT NULL,
        revision_id uuid NOT NULL,
        content bytea NOT NULL,
        PRIMARY KEY (tenant_id, revision_id),
        FOREIGN KEY (tenant_id, revision_id) REFERENCES revisions ON DELETE CASCADE
    )
    """,
    # Files are mostly compressed already.
    "ALTER TABLE uploads ALTER COLUMN content SET STORAGE EXTERNAL",
    # Says in the caller's transaction that the tenant has work: one waiting turn per tenant is enough. A turn that
    # waits already is held until the transaction ends: a worker that took it now would not see this one's work.
    """
    CREATE FUNCTION pincite_wake(tenant text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public
    AS $$
    BEGIN
        LOOP
            PERFORM FROM procrastinate_jobs
            WHERE queueing_lock = 'turn:' || tenant AND status = 'todo'
            FOR KEY SHARE;
            EXIT WHEN FOUND;
            BEGIN
                PERFORM procrastinate_defer_jobs_v1(ARRAY[ROW(
                    'turns', 'turn', 0, NULL, 'turn:' || tenant, jsonb_build_object('tenant', tenant), NULL
                )::procrastinate_job_to_defer_v1]);
                EXIT;
            EXCEPTION WHEN unique_violation THEN
                NULL;  -- another transaction was first: hold its turn
            END;
        END LOOP;
    END
    $$
    """,
    # The same for a moment to come.
    """
    CREATE FUNCTION pincite_wake_at(tenant text, moment timestamptz) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public
    AS $$
    BEGIN
        PERFORM procrastinate_defer_jobs_v1(ARRAY[ROW(
            'turns', 'turn', 0, NULL, 'turn:' || tenant || ':' || extract(epoch FROM date_trunc('second', moment)),
            jsonb_build_object('tenant', tenant), moment
        )::procrastinate_job_to_defer_v1]);
    EXCEPTION WHEN unique_violation THEN
        NULL;  -- somebody asked for the same second
    END
    $$
    """,
)

TABLES = ("jobs", "revisions", "uploads")


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    # Not op.execute: it would read colons and percent signs as parameters.
    op.get_bind().connection.driver_connection.execute(_PROCRASTINATE.read_text(encoding="utf-8"))
    for statement in STATEMENTS:
        op.get_bind().connection.driver_connection.execute(statement)
    for table in TABLES:
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY tenant ON {table} USING (tenant_id = current_setting('pincite.tenant', true))"
            " WITH CHECK (tenant_id = current_setting('pincite.tenant', true))"
        )
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO pincite_app")
    for function in ("pincite_wake(text)", "pincite_wake_at(text, timestamptz)"):
        op.execute(f"REVOKE ALL ON FUNCTION {function} FROM PUBLIC")
        op.execute(f"GRANT EXECUTE ON FUNCTION {function} TO pincite_app")


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP FUNCTION pincite_wake, pincite_wake_at")
    op.execute("DROP TABLE uploads, revisions, jobs")
    op.execute(
        "DROP TABLE procrastinate_events, procrastinate_periodic_defers, procrastinate_jobs, procrastinate_workers"
        " CASCADE"
    )
    op.execute(_DROP_FUNCTIONS)
    op.execute(
        "DROP TYPE procrastinate_job_to_defer_v1, procrastinate_job_event_type, procrastinate_job_status CASCADE"
    )


_DROP_FUNCTIONS = """
    DO $$
    DECLARE
        known record;
    BEGIN
        FOR known IN
            SELECT oid::regprocedure AS name FROM pg_proc
            WHERE pronamespace = 'public'::regnamespace AND proname LIKE 'procrastinate\\_%'
        LOOP
            EXECUTE format('DROP FUNCTION %s CASCADE', known.name);
        END LOOP;
    END $$
"""
