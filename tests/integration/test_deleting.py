"""Deleting documents and tenants: nothing is left, the receipt says so, and can be held to it later."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import sql
from typer.testing import CliRunner

from ingest.deleting import documents as deleting_documents
from ingest.deleting import tenants as deleting_tenants
from ingest.deleting.belongings import GO_WITH_A_TENANT
from ingest.deleting.documents import delete_documents, delete_matching, find_matching
from ingest.deleting.receipts import Deletion, find_receipt, list_receipts, verify
from ingest.deleting.tenants import delete_tenant
from ingest.generations.building import build
from ingest.indexing import build_vector_index
from ingest.store import EmbeddedDocument, document_id_of
from pincite import app
from retrieval.access import caller, tenant_id
from retrieval.database.generations import TABLES, Generation
from retrieval.database.store import open_store
from retrieval.domain import Question
from retrieval.engine import open_engine
from retrieval.errors import InputError, InvalidFilter, NotFound, StoreUnavailable, TenantLeaving
from retrieval.filter_json import parse_filter
from retrieval.keys import create_key, find_key, list_keys
from retrieval.searching import retrieve
from retrieval.spending.budgets import Budget, set_budget
from tests.conftest import new_database, on_database
from tests.fakes import WordEmbedder
from tests.generations import added
from tests.integration.test_ingest import everything
from tests.placing import emptied, made, place, source
from tests.queues import hand_in, submission

ACME = tenant_id("acme")
OLD = parse_filter('{"field": "metadata.year", "range": {"lt": 2020}}')


@pytest.fixture(scope="module")
def database(server: str) -> Iterator[str]:
    yield from new_database(server)


@pytest.fixture
def filled(database: str) -> str:
    """Three documents of acme from different years, one of another tenant, a vector index for each."""
    emptied(database)
    place(database, "acme", *map(report, (2018, 2019, 2024)))
    place(database, "rival", made(source("rival.md"), "The rival's pump."))
    for tenant in ("acme", "rival"):
        profile = Generation(embedder=WordEmbedder.name, dimensions=WordEmbedder.dimensions)
        build_vector_index(database, tenant_id(tenant), profile, 0)
    return database


def report(year: int) -> EmbeddedDocument:
    acl = frozenset({"everyone", f"user:of{year}"})
    described = source(f"{year}/report.md", acl, {"year": year})
    return made(described, f"Report of {year}.\nThe red pump of {year} needed oil, word{year}.")


def deletion(dsn: str, tenant: str = "acme") -> Deletion:
    return Deletion(dsn=dsn, tenant=tenant_id(tenant), asked_by="test", asked_at=datetime.now(UTC))


def rows_of(dsn: str, tenant: str) -> dict[str, int]:
    """How many rows each table has of the tenant; tables without any are left out."""
    with psycopg.connect(dsn) as connection:
        counts = {table: _count(connection, table, tenant) for table in (*GO_WITH_A_TENANT, "api_keys", "tenants")}
    return {table: rows for table, rows in counts.items() if rows}


def _count(connection: psycopg.Connection[tuple[int]], table: str, tenant: str) -> int:
    query = sql.SQL("SELECT count(*) FROM {} WHERE tenant_id = %s").format(sql.Identifier(table))
    [(rows,)] = connection.execute(query, [tenant]).fetchall()
    return rows


def test_what_is_left_is_what_never_saw_the_document(filled: str) -> None:
    """After a deletion the index is, row for row, the one that the other documents alone would have made."""
    delete_documents(deletion(filled), uris=["2018/report.md", "2019/report.md"])
    deleted = everything(filled)
    with psycopg.connect(filled) as connection:
        assert connection.execute("SELECT count(*) FROM term_statistics WHERE chunk_count <= 0").fetchone() == (0,)
        names = connection.execute("SELECT principal FROM principal_statistics WHERE tenant_id = 'acme'").fetchall()
        assert {name for (name,) in names} == {"everyone", "user:of2024"}
        connection.execute("DELETE FROM tenants WHERE tenant_id = 'acme'")
    place(filled, "acme", report(2024))
    assert deleted == everything(filled)


def test_a_generation_that_is_built_forgets_too(dsn: str) -> None:
    """A document, and then a tenant, goes from every generation; the receipt counts all rows of it, and would see one
    that was left in any."""
    place(dsn, "acme", *map(report, (2018, 2019)))
    rebuild = added(dsn, "strange")
    build(rebuild)
    built = sql.Identifier(rebuild.generation.schema, "cut_documents")
    receipt = delete_documents(deletion(dsn), uris=["2018/report.md"])
    assert (receipt.removed["documents"], receipt.removed["cut_documents"]) == (1, 2)
    assert verify(dsn, tenant_id("acme"), receipt.receipt_id).holds
    with psycopg.connect(dsn) as connection:
        assert connection.execute(sql.SQL("SELECT count(*) FROM {}").format(built)).fetchone() == (1,)
        connection.execute("SET session_replication_role = replica")
        again = sql.SQL("INSERT INTO {} SELECT tenant_id, %s, 1, '', 0, '' FROM tenants").format(built)
        connection.execute(again, [document_id_of(tenant_id("acme"), "2018/report.md")])
    assert verify(dsn, tenant_id("acme"), receipt.receipt_id).left == {"cut_documents": 1}
    delete_tenant(deletion(dsn))
    assert build(rebuild) == 0
    with psycopg.connect(dsn) as connection:
        for table in TABLES:
            name = sql.Identifier(rebuild.generation.schema, table)
            assert connection.execute(sql.SQL("SELECT count(*) FROM {}").format(name)).fetchone() == (0,), table


def test_the_receipt_says_what_went_and_when_and_holds(filled: str) -> None:
    """Rows by table, who asked, since when; no word of the document; found again, and verified."""
    told: list[float] = []
    receipt = delete_documents(replace(deletion(filled), invisible=told.append), uris=["2018/report.md"])
    assert receipt.removed == {
        "grants": 2, "document_fields": 1, "chunk_terms": 2, "embeddings": 2, "chunks": 2, "cut_documents": 1,
            "documents": 1,
    }  # fmt: skip
    assert (receipt.state, receipt.scope, receipt.asked_by, receipt.documents) == ("complete", "documents", "test", 1)
    assert receipt.asked_at < receipt.invisible_at
    assert told == [receipt.seconds]
    assert "report" not in receipt.as_json()
    assert find_receipt(filled, ACME, receipt.receipt_id) == receipt
    assert list_receipts(filled, ACME) == [receipt]
    found = verify(filled, ACME, receipt.receipt_id)
    assert (found.holds, found.left, found.again) == (True, {}, 0)


def test_a_receipt_is_its_tenants_alone(filled: str) -> None:
    """Another tenant neither lists nor finds it."""
    receipt = delete_documents(deletion(filled), uris=["2018/report.md"])
    assert list_receipts(filled, tenant_id("rival")) == []
    with pytest.raises(NotFound):
        verify(filled, tenant_id("rival"), receipt.receipt_id)


def test_what_came_back_is_said_to_have_come_back(filled: str) -> None:
    """A document ingested again after its deletion is no leftover, and does not pass for gone."""
    receipt = delete_documents(deletion(filled), uris=["2018/report.md"])
    place(filled, "acme", report(2018))
    found = verify(filled, ACME, receipt.receipt_id)
    assert (found.holds, found.left, found.again) == (True, {}, 1)


def test_what_was_handed_in_again_is_not_left_over(filled: str) -> None:
    """A receipt holds while a worker has not yet come to the document's next state."""
    receipt = delete_documents(deletion(filled), uris=["2018/report.md"])
    hand_in(filled, submission("2018/report.md"))
    found = verify(filled, ACME, receipt.receipt_id)
    assert (found.holds, found.left, found.again) == (True, {}, 0)


@pytest.mark.parametrize(
    "table", ["grants", "document_fields", "chunks", "chunk_terms", "kept_sources", "cached_answers"]
)
def test_what_is_left_behind_is_found(filled: str, table: str) -> None:
    """A row of the document in any table, put there past all rules, and the receipt does not hold."""
    document = document_id_of(ACME, "2018/report.md")
    receipt = delete_documents(deletion(filled), uris=["2018/report.md"])
    planted = {
        "grants": "VALUES ('acme', 'everyone', %(id)s)",
        "document_fields": "VALUES ('acme', %(id)s, '{}')",
        "chunks": "VALUES ('acme', %(id)s, 0, '{}', '[]', '', 'x', 0, 1, 1, 1, '{}', 1)",
        "chunk_terms": "VALUES ('acme', %(id)s, 0, '{}', '{}/1000000000')",
        "kept_sources": "VALUES ('acme', gen_random_uuid(), %(id)s, 1)",
        "cached_answers": "VALUES ('acme', '', '', NULL, ARRAY[%(id)s::uuid], '{}', now(), now())",
    }
    with psycopg.connect(filled) as connection:
        connection.execute("SET session_replication_role = replica")
        for table, row in planted.items():
            connection.execute(
                sql.SQL("INSERT INTO {} ").format(sql.Identifier(table)) + sql.SQL(row), {"id": document}
            )
    found = verify(filled, ACME, receipt.receipt_id)
    assert found.left == dict.fromkeys(planted, 1)
    assert not found.holds
    emptied(filled)


def test_a_receipt_that_was_changed_does_not_hold(filled: str) -> None:
    """Whatever is changed of it: its digest is of all of it and of the documents it is for."""
    receipt = delete_documents(deletion(filled), uris=["2018/report.md"])
    for change in (
        "UPDATE deletion_receipts SET asked_by = 'nobody'",
        "UPDATE deletion_receipts SET asked_by = 'test', invisible_at = invisible_at - interval '1 day'",
        "DELETE FROM deleted_documents",
    ):
        with psycopg.connect(filled) as connection:
            connection.execute(change)
        assert not verify(filled, ACME, receipt.receipt_id).intact


def test_what_is_not_there_is_not_deleted(filled: str) -> None:
    """No receipt for nothing; beside one that is there, it is passed over."""
    with pytest.raises(NotFound):
        delete_documents(deletion(filled), uris=["nothing.md"])
    assert list_receipts(filled, ACME) == []
    assert delete_documents(deletion(filled), uris=["nothing.md", "2018/report.md"]).documents == 1
    with pytest.raises(NotFound):
        delete_documents(deletion(filled), document_ids=[document_id_of(ACME, "2018/report.md")])


def test_another_tenants_document_is_not_there(filled: str) -> None:
    """Not by uri, nor by its id."""
    rival = document_id_of(tenant_id("rival"), "rival.md")
    with pytest.raises(NotFound):
        delete_documents(deletion(filled), uris=["rival.md"], document_ids=[rival])
    assert rows_of(filled, "rival")["documents"] == 1


def test_a_filter_deletes_what_it_counts(filled: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted first without a trace, then deleted, batch by batch under one receipt that adds up."""
    monkeypatch.setattr(deleting_documents, "TOGETHER", 1)
    before = everything(filled)
    assert len(find_matching(deletion(filled), OLD)) == 2
    assert everything(filled) == before
    receipt = delete_matching(deletion(filled), OLD)
    assert (receipt.documents, receipt.scope, receipt.removed["chunks"]) == (2, "filter", 4)
    assert verify(filled, ACME, receipt.receipt_id).holds
    with pytest.raises((NotFound, InvalidFilter)):
        delete_matching(deletion(filled), OLD)


@pytest.mark.parametrize("text", ['{"field": "metadata.unknown", "eq": 1}', '{"field": "page", "eq": 1}'])
def test_a_filter_that_makes_no_sense_deletes_nothing(filled: str, text: str) -> None:
    """An unknown field, or a condition on parts of documents: refused, not read as everything or nothing."""
    before = everything(filled)
    with pytest.raises(InvalidFilter):
        delete_matching(deletion(filled), parse_filter(text))
    assert everything(filled) == before


def test_a_deletion_that_breaks_off_has_a_receipt_for_what_is_gone(
    filled: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between two batches: what the receipt counts is gone, the rest is whole, and asking again goes on."""
    monkeypatch.setattr(deleting_documents, "TOGETHER", 1)
    with psycopg.connect(filled, autocommit=True) as connection:
        connection.execute("CREATE TABLE pin (tenant_id text, document_id uuid, FOREIGN KEY (tenant_id, document_id)"
                           " REFERENCES documents)")  # fmt: skip
        last = max(match.document_id for match in find_matching(deletion(filled), OLD))
        connection.execute("INSERT INTO pin VALUES ('acme', %s)", [last])
        with pytest.raises(Exception, match=r"."):
            delete_matching(deletion(filled), OLD)
        [receipt] = list_receipts(filled, ACME)
        assert (receipt.state, receipt.documents) == ("under_way", 1)
        assert verify(filled, ACME, receipt.receipt_id).holds
        assert rows_of(filled, "acme")["documents"] == 2
        connection.execute("DROP TABLE pin")
    assert delete_matching(deletion(filled), OLD).documents == 1


async def test_offboarding_leaves_nothing_but_the_receipt(filled: str) -> None:
    """Rows, index, keys, budgets, statistics: gone, the other tenant untouched, the receipt there and true."""
    key = create_key(filled, ACME, "k", {"query"}, ())
    async with open_store(filled, on_database(filled).database) as store:
        await set_budget(store, "acme", Budget(principal="everyone", period="day", unit="tokens", amount=1))
    before = rows_of(filled, "rival")
    counted = rows_of(filled, "acme")
    receipt = delete_tenant(deletion(filled))
    assert rows_of(filled, "acme") == {}
    assert rows_of(filled, "rival") == before
    assert receipt.removed == {table: rows for table, rows in counted.items() if table != "tenants"}
    with psycopg.connect(filled) as connection:
        names = connection.execute("SELECT relname FROM pg_class WHERE relname LIKE 'embeddings_hnsw%'").fetchall()
        assert len(names) == 1
    assert list_keys(filled, ACME) == []
    assert key
    assert verify(filled, ACME, receipt.receipt_id).holds
    assert list_receipts(filled, ACME) == [receipt]


async def test_a_leaving_tenant_is_invisible_from_the_first_commit_on(
    filled: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While its rows are still there nothing reads or writes them; asked for again, the deletion goes on under its
    receipt."""

    def killed(*_: object) -> None:
        raise StoreUnavailable("killed")

    key = create_key(filled, ACME, "k", {"query"}, ())
    with monkeypatch.context() as patched:
        patched.setattr(deleting_tenants, "_emptied", killed)
        with pytest.raises(StoreUnavailable):
            delete_tenant(deletion(filled))
    assert rows_of(filled, "acme")["documents"] == 3
    async with open_engine(on_database(filled), embedder=WordEmbedder()) as engine:
        question = Question(text="red pump", caller=caller("acme", ()), limit=5)
        with pytest.raises(TenantLeaving):
            await retrieve(engine, question)
        with pytest.raises(Exception, match="not known"):
            await find_key(engine, key)
    with pytest.raises(TenantLeaving):
        delete_documents(deletion(filled), uris=["2018/report.md"])
    [begun] = list_receipts(filled, ACME)
    receipt = delete_tenant(deletion(filled))
    assert receipt.receipt_id == begun.receipt_id
    assert receipt.state == "complete"
    assert rows_of(filled, "acme") == {}


def test_a_tenant_that_comes_back_is_a_new_one(filled: str) -> None:
    """It can be ingested into again; the receipt holds, and says that there are documents again."""
    receipt = delete_tenant(deletion(filled))
    with pytest.raises(NotFound):
        delete_tenant(deletion(filled))
    place(filled, "acme", report(2018))
    found = verify(filled, ACME, receipt.receipt_id)
    assert (found.holds, found.again) == (True, 1)


def pincite(dsn: str, *arguments: str) -> list[str]:
    """What the command prints. Raises what it does."""
    done = CliRunner().invoke(app, arguments, env={"PINCITE_DATABASE_URL": dsn}, catch_exceptions=False)
    return [line for line in done.stdout.splitlines() if "pgvector_update_advised" not in line]


def test_the_command_line_deletes_and_verifies(filled: str) -> None:
    """Uris at once, a filter counted first, a tenant only with --yes; receipts are listed, shown, verified."""
    of_acme = ("delete", "--tenant", "acme")
    [deleted] = map(json.loads, pincite(filled, *of_acme, "2024/report.md"))
    assert deleted["documents"] == 1
    assert deleted["asked_by"].startswith("cli:")
    old = ("--filter", '{"field": "metadata.year", "range": {"lt": 2020}}')
    assert pincite(filled, *of_acme, *old) == ["would delete 2 documents (4 chunks): say --yes to do it"]
    assert json.loads(pincite(filled, *of_acme, *old, "--yes")[0])["documents"] == 2
    for refused in (("--all-of-tenant",), (), ("a.md", *old)):
        with pytest.raises(InputError):
            pincite(filled, *of_acme, *refused)
    assert json.loads(pincite(filled, *of_acme, "--all-of-tenant", "--yes")[0])["scope"] == "tenant"
    listed = [UUID(line.split()[0]) for line in pincite(filled, "receipts", "list", "--tenant", "acme")]
    assert len(listed) == 3
    for receipt in listed:
        assert json.loads(pincite(filled, "receipts", "verify", "--tenant", "acme", str(receipt))[0])["holds"]
    assert json.loads(pincite(filled, "receipts", "show", "--tenant", "acme", str(listed[-1]))[0]) == deleted
    with pytest.raises(NotFound):
        pincite(filled, "receipts", "show", "--tenant", "acme", str(uuid4()))


@pytest.fixture(autouse=True)
def _few_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tenants go in several batches here too."""
    monkeypatch.setattr(deleting_tenants, "_ROWS", 2)
