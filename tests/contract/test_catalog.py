"""The rules that keep a move to a distributed Postgres a configuration change, read from the catalog."""

import re
from collections.abc import Iterator
from importlib import resources

import psycopg
import pytest

REFERENCE = {"tenants", "api_keys", "generations"}
LOCAL = {
    "alembic_version",
    "procrastinate_jobs",
    "procrastinate_events",
    "procrastinate_workers",
    "procrastinate_periodic_defers",
}
WITHOUT_ROW_SECURITY = {"chunk_terms"}
"""Holds hashed words only; `&&` is not leakproof, so a policy would take its GIN index away (DECISIONS.md)."""

Catalog = psycopg.Connection[tuple[object, ...]]

KEYS = """
    SELECT c.conrelid::regclass::text, c.contype::text, c.confrelid::regclass::text, c.confdeltype::text,
           ARRAY(SELECT a.attname::text FROM unnest(c.conkey) WITH ORDINALITY k(attnum, n)
                 JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.attnum ORDER BY n)
    FROM pg_constraint c WHERE c.connamespace = 'public'::regnamespace AND c.contype IN ('p', 'u', 'f')
"""


@pytest.fixture
def catalog(dsn: str) -> Iterator[Catalog]:
    with psycopg.connect(dsn) as connection:
        yield connection


def distributed(catalog: Catalog) -> set[str]:
    rows = catalog.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
    return {str(row[0]) for row in rows} - REFERENCE - LOCAL


def test_every_key_of_tenant_data_starts_with_the_tenant(catalog: Catalog) -> None:
    """Primary, unique and foreign keys of distributed tables begin with tenant_id; every table has a primary key."""
    rows = catalog.execute(KEYS).fetchall()
    tables = distributed(catalog)
    assert tables
    for table, _, _, _, columns in rows:
        if table in tables:
            assert isinstance(columns, list)
            assert columns[0] == "tenant_id", (table, columns)
    assert tables <= {table for table, kind, *_ in rows if kind == "p"}


def test_foreign_keys_cascade_and_point_the_right_way(catalog: Catalog) -> None:
    """A delete takes everything below with it, and no shared table depends on tenant data."""
    tables = distributed(catalog)
    for table, kind, target, on_delete, _ in catalog.execute(KEYS).fetchall():
        if kind == "f":
            assert on_delete == "c" or table in LOCAL, table
            assert not (table in REFERENCE | LOCAL and target in tables), (table, target)


def test_tenant_id_is_one_type_and_never_null(catalog: Catalog) -> None:
    """tenant_id is `text NOT NULL` wherever it is."""
    rows = catalog.execute(
        "SELECT table_name, data_type, is_nullable FROM information_schema.columns"
        " WHERE table_schema = 'public' AND column_name = 'tenant_id'"
    ).fetchall()
    assert {(kind, nullable) for _, kind, nullable in rows} == {("text", "NO")}
    assert distributed(catalog) <= {table for table, _, _ in rows}


def test_no_triggers_and_no_rules(catalog: Catalog) -> None:
    """Tenant data has no triggers of ours and no rules."""
    rows = catalog.execute("SELECT tgrelid::regclass::text FROM pg_trigger WHERE NOT tgisinternal").fetchall()
    assert {str(table) for (table,) in rows} <= LOCAL
    assert catalog.execute("SELECT rulename FROM pg_rules WHERE schemaname = 'public'").fetchall() == []


def test_row_security_is_on(catalog: Catalog) -> None:
    """Every table with tenant data has a policy that is a plain comparison, but for the one with hashed words."""
    rows = catalog.execute("SELECT relname, relrowsecurity FROM pg_class WHERE relkind = 'r'").fetchall()
    secured = {str(name) for name, on in rows if on}
    assert secured == distributed(catalog) - WITHOUT_ROW_SECURITY
    policies = catalog.execute("SELECT tablename, qual, with_check FROM pg_policies").fetchall()
    assert {table for table, _, _ in policies} == secured
    for _, qual, check in policies:
        assert qual == check == "(tenant_id = current_setting('pincite.tenant'::text, true))"


def test_the_app_role_is_an_ordinary_one(catalog: Catalog) -> None:
    """The role every request runs as can neither bypass row-level security nor write keys."""
    row = catalog.execute(
        "SELECT rolsuper, rolbypassrls, rolcreaterole, has_table_privilege('pincite_app', 'api_keys', 'INSERT, UPDATE')"
        " FROM pg_roles WHERE rolname = 'pincite_app'"
    ).fetchone()
    assert row == (False, False, False, False)


@pytest.mark.parametrize(
    "package",
    [
        "retrieval",
        "retrieval.search",
        "retrieval.spending",
        "retrieval.caching",
        "retrieval.keeping",
        "ingest",
        "ingest.queueing",
        "ingest.webhooks",
        "ingest.syncing",
        "ingest.deleting",
        "ingest.doctor",
        "ingest.generations",
    ],
)
def test_statements_on_tenant_data_name_the_tenant(package: str) -> None:
    """Every table with tenant data in a statement is pinned by `tenant_id = %(tenant_id)s` or joined on tenant_id."""
    tables = (
        r"\b(?:FROM|JOIN|UPDATE)\s+(documents|chunks|embeddings|chunk_terms|term_statistics|language_statistics"
        r"|grants|principal_statistics|document_fields|field_statistics"
        r"|spending_accounts|spending_calls|spending_windows|budgets|cached_answers|answer_claims"
        r"|kept_answers|kept_events|kept_sources|jobs|revisions|uploads"
        r"|webhook_endpoints|webhook_secrets|webhook_messages|webhook_deliveries"
        r"|sync_sources|sync_items|deletion_receipts|deleted_documents|chunk_contexts|version_floors|cut_documents)\b"
    )
    for file in resources.files(package).joinpath("sql").iterdir():
        text = re.sub(r"--.*", "", file.read_text())
        for _ in re.finditer(tables, text):
            assert text.count("tenant_id") >= len(re.findall(tables, text)), file.name
        if re.search(tables, text):
            assert re.search(r"tenant_id\s*=\s*%\(tenant_id\)s", text), file.name
        assert ";" not in text, f"{file.name}: one statement a file"
