"""What goes with a document and with a tenant, held against the catalog: a new table is entered, or says why not."""

from collections.abc import Iterator

import psycopg
import pytest

from ingest.deleting.belongings import GO_WITH_A_DOCUMENT, GO_WITH_A_TENANT

STAYS = {"deletion_receipts", "deleted_documents"}
"""What says that something was deleted."""
ADMINISTERED = {"tenants", "api_keys"}
"""Taken away by name, at the end: the role that deletes may not."""

Catalog = psycopg.Connection[tuple[str, ...]]


@pytest.fixture
def catalog(dsn: str) -> Iterator[Catalog]:
    with psycopg.connect(dsn) as connection:
        yield connection


def with_column(catalog: Catalog, *names: str) -> set[str]:
    query = """
        SELECT table_name FROM information_schema.columns WHERE table_schema = 'public' AND column_name = ANY (%s)
    """
    return {table for (table,) in catalog.execute(query, [list(names)])}


def test_what_names_a_document_goes_with_it(catalog: Catalog) -> None:
    """Every table with a document's id, or several, is in the one list."""
    known = {part.table for part in GO_WITH_A_DOCUMENT}
    assert with_column(catalog, "document_id", "document_ids") - STAYS == known - {
        "kept_answers",
        "kept_events",
        "uploads",
    }


def test_what_is_a_tenants_goes_with_it(catalog: Catalog) -> None:
    """Every table with a tenant's id is in the other, with its key as it is."""
    assert with_column(catalog, "tenant_id") - STAYS - ADMINISTERED == set(GO_WITH_A_TENANT)
    query = """
        SELECT attname FROM pg_index CROSS JOIN unnest(indkey) WITH ORDINALITY AS key (attnum, place)
        JOIN pg_attribute ON attrelid = indrelid AND pg_attribute.attnum = key.attnum
        WHERE indisprimary AND indrelid = %s::regclass ORDER BY place
    """
    for table, key in GO_WITH_A_TENANT.items():
        columns = [column for (column,) in catalog.execute(query, [table])]
        assert columns == ["tenant_id", *key], table


@pytest.mark.parametrize("tables", [[part.table for part in GO_WITH_A_DOCUMENT], [*GO_WITH_A_TENANT]])
def test_what_refers_goes_before_what_it_refers_to(catalog: Catalog, tables: list[str]) -> None:
    """Nothing goes by a cascade that nobody counts. What withdraws kept answers leaves their rows standing."""
    query = "SELECT conrelid::regclass::text, confrelid::regclass::text FROM pg_constraint WHERE contype = 'f'"
    for table, target in catalog.execute(query):
        if {table, target} <= set(tables) and (target, len(tables)) != ("kept_answers", len(GO_WITH_A_DOCUMENT)):
            assert tables.index(table) < tables.index(target), (table, target)


def test_what_was_said_of_a_deletion_cannot_be_unsaid(catalog: Catalog) -> None:
    """The role that every request runs as may enter receipts, and take none away."""
    query = "SELECT has_table_privilege('pincite_app', %s, %s)::text"
    for table in sorted(STAYS):
        assert [*catalog.execute(query, [table, "INSERT"]), *catalog.execute(query, [table, "DELETE"])] == [
            ("true",),
            ("false",),
        ]
