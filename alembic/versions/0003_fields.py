"""What filters read: each document's fields in a small row, and which fields a tenant has, of which kinds.

`documents.metadata` stays what its owner wrote and is what readers get. Filtering on it would fetch it from
out of line, and read its dates anew, for each document of each search.
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

STATEMENTS = (
    # The microsecond since 1970 that an ISO date or time names, in UTC where it names no zone; NULL for other text.
    # Written out, because a cast would read 'yesterday' too, ask the session for its zone, and fail on February 30.
    # The same grammar as read_date() in retrieval/filters.py, which reads the question's side.
    """
    CREATE FUNCTION pincite_moment(content text) RETURNS bigint
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    AS $$
        SELECT CASE
            WHEN year = 0 OR month NOT BETWEEN 1 AND 12 OR day = 0 OR hour > 23 OR minute > 59 OR second > 59
                 OR zone_hour > 23 OR zone_minute > 59 THEN NULL
            WHEN day > extract(day FROM make_date(year, month, 1) + interval '1 month - 1 day') THEN NULL
            ELSE (((make_date(year, month, day) - date '1970-01-01')::bigint * 24 + hour) * 60 + minute) * 60000000
                 + second * 1000000 + fraction - zone_sign * (zone_hour * 60 + zone_minute)::bigint * 60000000
        END
        FROM (
            SELECT part[1]::integer AS year, part[2]::integer AS month, part[3]::integer AS day,
                   coalesce(part[4], '0')::integer AS hour, coalesce(part[5], '0')::integer AS minute,
                   coalesce(part[6], '0')::integer AS second,
                   left(rpad(coalesce(part[7], ''), 6, '0'), 6)::integer AS fraction,
                   CASE part[8] WHEN '-' THEN -1 ELSE 1 END AS zone_sign,
                   coalesce(part[9], '0')::integer AS zone_hour, coalesce(part[10], '0')::integer AS zone_minute
            FROM regexp_match(
                left(content, 40),
                '^([0-9]{4})-([0-9]{2})-([0-9]{2})(?:[Tt ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:[.]([0-9]{1,9}))?)?'
                '(?:[Zz]|([+-])([0-9]{2}):?([0-9]{2}))?)?$'
            ) AS part
            WHERE part IS NOT NULL
        ) AS parts
    $$
    """,
    # Where a chunk stands, as filters read it. STABLE, though it is more than that, so that Postgres can inline it.
    """
    CREATE FUNCTION pincite_place(first_page integer, last_page integer, heading_path text[], sections jsonb)
    RETURNS jsonb
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$
        SELECT jsonb_build_object(
            'first_page', first_page,
            'last_page', last_page,
            'section', to_jsonb(heading_path) || jsonb_path_query_array(sections, '$[*].heading_path[*]')
        )
    $$
    """,
    """
    CREATE TABLE document_fields (
        tenant_id text NOT NULL,
        document_id uuid NOT NULL,
        fields jsonb NOT NULL,
        PRIMARY KEY (tenant_id, document_id),
        FOREIGN KEY (tenant_id, document_id) REFERENCES documents ON DELETE CASCADE
    ) WITH (fillfactor = 80)
    """,
    """
    CREATE TABLE field_statistics (
        tenant_id text NOT NULL REFERENCES tenants ON DELETE CASCADE,
        field text NOT NULL,
        kind text NOT NULL,
        document_count bigint NOT NULL,
        PRIMARY KEY (tenant_id, field, kind)
    ) WITH (fillfactor = 70)
    """,
    """
    INSERT INTO document_fields (tenant_id, document_id, fields)
    SELECT documents.tenant_id,
           documents.document_id,
           coalesce(own.written, '{}') || jsonb_build_object(
               'uri', documents.uri,
               'title', documents.title,
               'language', documents.language,
               'content_type', documents.content_type,
               'version', documents.version,
               'dates', coalesce(own.dates, '{}') || jsonb_build_object(
                   'updated_at', (extract(epoch FROM documents.updated_at) * 1000000)::bigint
               )
           )
    FROM documents
    CROSS JOIN LATERAL (
        SELECT jsonb_object_agg('metadata.' || entry.key, entry.value) AS written,
               jsonb_object_agg('metadata.' || entry.key, read.moments) FILTER (WHERE read.moments IS NOT NULL) AS dates
        FROM jsonb_each(documents.metadata) AS entry
        CROSS JOIN LATERAL (
            SELECT jsonb_agg(moment) AS moments
            FROM jsonb_path_query(entry.value, '$[*] ? (@.type() == "string")') AS item
            CROSS JOIN LATERAL pincite_moment(item #>> '{}') AS moment
            WHERE moment IS NOT NULL
        ) AS read
        WHERE char_length(entry.key) <= 200
    ) AS own
    """,
    """
    INSERT INTO field_statistics (tenant_id, field, kind, document_count)
    SELECT tenant_id, field, kind, count(*)
    FROM (
        SELECT tenant_id,
               entry.key AS field,
               CASE jsonb_typeof(item) WHEN 'string' THEN 'text' ELSE jsonb_typeof(item) END AS kind,
               document_id
        FROM document_fields
        CROSS JOIN LATERAL jsonb_each(fields) AS entry
        CROSS JOIN LATERAL jsonb_path_query(entry.value, '$[*]') AS item
        WHERE entry.key LIKE 'metadata.%' AND jsonb_typeof(item) IN ('string', 'number', 'boolean')
        UNION
        SELECT tenant_id, dated.key, 'date', document_id
        FROM document_fields
        CROSS JOIN LATERAL jsonb_each(fields -> 'dates') AS dated
        WHERE dated.key LIKE 'metadata.%'
    ) AS seen
    GROUP BY tenant_id, field, kind
    """,
)

TABLES = ("document_fields", "field_statistics")


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for statement in STATEMENTS:
        # As text of the driver: SQLAlchemy would read a colon in a pattern as a parameter.
        op.get_bind().exec_driver_sql(statement.replace("%", "%%"))
    for table in TABLES:
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY tenant ON {table} USING (tenant_id = current_setting('pincite.tenant', true))"
            " WITH CHECK (tenant_id = current_setting('pincite.tenant', true))"
        )
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO pincite_app")


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP TABLE field_statistics, document_fields")
    op.execute("DROP FUNCTION pincite_place, pincite_moment")
