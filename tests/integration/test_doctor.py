"""The doctor: a sound index has no findings, each damage has its own, and what is safe to mend is mended."""

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies
from typer.testing import CliRunner

from ingest.deleting.documents import delete_documents
from ingest.deleting.receipts import Deletion
from ingest.doctor.checkup import Checkup, examine
from ingest.doctor.findings import Finding, exit_code
from ingest.doctor.server import disk_findings, ledger_findings, pgvector_findings, server_findings
from ingest.generations.building import build
from ingest.indexing import build_vector_index
from ingest.store import add_tenant, open_writer
from pincite import app
from retrieval.access import NOBODY, TenantId, tenant_id
from retrieval.database.generations import Generation
from retrieval.errors import NotFound
from retrieval.keys import create_key
from retrieval.models.protocols import Embedder
from retrieval.settings import DatabaseSettings
from tests.conftest import new_database, on_database
from tests.damages import DAMAGES, damage
from tests.fakes import WordEmbedder
from tests.generations import added
from tests.integration.test_ingest import everything
from tests.placing import RECIPE, emptied, made, place, source

ACME = tenant_id("acme")
PROFILE = Generation(embedder=WordEmbedder.name, dimensions=WordEmbedder.dimensions)
OURS = {"pgvector_version"}
"""True of the server that the tests run on, and nothing that they could mend."""
ONLY_SAID: dict[str, str] = {
    "unseen_documents": "UPDATE documents SET acl = '{nobody}' WHERE uri = 'nobody.md'",
    "leaving": "UPDATE tenants SET leaving_at = now() WHERE tenant_id = 'beta'",
    "wide_keys": "INSERT INTO api_keys VALUES ('0123456789ab', 'acme', 'k', '', '{act_as,admin,query}', '{}')",
}


@pytest.fixture(scope="module")
def database(server: str) -> Iterator[str]:
    yield from new_database(server)


@pytest.fixture
def sound(database: str) -> Iterator[str]:
    """Two tenants' documents, a vector index for each that is large."""
    emptied(database)
    acl = frozenset({"everyone", "user:ada"})
    metadata = {"year": 2024, "kind": "report", "reviewed": "2026-01-31"}
    place(database, "acme", made(source("a.md", acl, metadata), "The red pump needs oil.\nIts filter lasts."))
    place(database, "acme", made(source("b.md"), "Vacation is 25 days."))
    place(database, "beta", made(source("c.md"), "The gauge shows pressure."))
    for tenant in (ACME, tenant_id("beta")):
        build_vector_index(database, tenant, PROFILE, 0)
    yield database
    damage(database, "DROP INDEX IF EXISTS embeddings_hnsw_0")


def found_in(
    dsn: str,
    *,
    fix: bool = False,
    embedder: Embedder | None = None,
    index_from: int = 0,
    only: TenantId | None = None,
) -> list[Finding]:
    checkup = Checkup(
        dsn=dsn,
        settings=on_database(dsn).database,
        index_from=index_from,
        embedder=embedder or WordEmbedder(),
        fix=fix,
    )
    return [finding for finding in examine(checkup, only) if finding.code not in OURS]


def test_a_sound_index_has_no_findings(sound: str) -> None:
    """No false alarm, with keys, receipts and deleted documents beside it too; and mending it changes nothing."""
    create_key(sound, ACME, "k", {"query", "explain"}, {"user:ada"})
    deletion = Deletion(dsn=sound, tenant=ACME, asked_by="test", asked_at=datetime.now(UTC))
    delete_documents(deletion, uris=["b.md"])
    assert found_in(sound) == []
    before = everything(sound)
    assert found_in(sound, fix=True) == []
    assert everything(sound) == before


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damage_is_found_and_mended(sound: str, name: str) -> None:
    """Exactly its findings, where it was done; mended, the index is row for row what it was."""
    done, before = DAMAGES[name], everything(sound)
    damage(sound, done.statements)
    found = found_in(sound)
    assert {finding.code for finding in found} == done.codes
    assert {finding.tenant for finding in found} <= {"acme", "", "beta" if done.everywhere else "acme"}
    mended = found_in(sound, fix=True)
    assert mended
    assert all(finding.mended for finding in mended)
    assert found_in(sound) == []
    assert everything(sound) == before


@pytest.mark.parametrize("code", ONLY_SAID)
def test_what_is_not_safe_to_mend_is_only_said(sound: str, code: str) -> None:
    """It is found, and `fix` leaves it as it is."""
    place(sound, "acme", made(source("nobody.md", frozenset({NOBODY})), "Nobody sees it."))
    damage(sound, ONLY_SAID[code])
    wanted = {code, "unseen_documents"}
    assert {finding.code for finding in found_in(sound)} == wanted
    assert {finding.code for finding in found_in(sound, fix=True) if not finding.mended} == wanted


def test_vectors_wait_for_the_model_that_made_them(sound: str) -> None:
    """With another embedder configured that is said, and no vector is touched."""

    class Other(WordEmbedder):
        name = "other-64"

    damage(sound, DAMAGES["vectors lost"].statements)
    found = found_in(sound, fix=True, embedder=Other())
    assert {(finding.code, finding.mended) for finding in found} == {
        ("other_model", False),
        ("missing_embeddings", False),
    }
    assert exit_code(found) == 3


def test_a_small_tenant_needs_no_index(sound: str) -> None:
    """An index is missing only where the tenant has more chunks than searches compare one by one."""
    damage(sound, DAMAGES["index lost"].statements)
    assert [finding.code for finding in found_in(sound, index_from=2)] == ["vector_index_missing"]
    assert found_in(sound, index_from=3) == []


SOUND = {
    "fsync": "on",
    "full_page_writes": "on",
    "autovacuum": "on",
    "max_connections": "100",
    "superuser_reserved_connections": "3",
    "shared_buffers": "16384",
}


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({}, set()),
        ({"fsync": "off"}, {"fsync"}),
        ({"full_page_writes": "off"}, {"full_page_writes"}),
        ({"synchronous_commit": "off"}, {"synchronous_commit"}),
        ({"autovacuum": "off"}, {"autovacuum"}),
        ({"max_connections": "13"}, {"max_connections"}),
        ({"shared_buffers": "1000"}, {"shared_buffers"}),
    ],
)
def test_settings_that_hurt_are_named(changed: dict[str, str], code: set[str]) -> None:
    """Each by the setting's own name, for a database of 10 GB."""
    found = server_findings(SOUND | changed, 10 * 1024**3, DatabaseSettings(database_url=None))
    assert {finding.code for finding in found} == code


@pytest.mark.parametrize(
    ("port", "prepare", "codes"), [(6432, True, ["prepared_behind_pooler"]), (6432, False, []), (5432, True, [])]
)
def test_a_pooler_wants_no_prepared_statements(port: int, prepare: bool, codes: list[str]) -> None:
    """Told by the port that PgBouncer has unless somebody changes it."""
    url: Any = f"postgresql://u@h:{port}/d"
    found = server_findings(SOUND, 0, DatabaseSettings(database_url=url, database_prepare=prepare))
    assert [finding.code for finding in found] == codes


def test_what_is_outgrown_or_outdated_is_said() -> None:
    """An old pgvector, a huge ledger; a new one, a small one, and another server's disk, are not."""
    assert [finding.code for finding in pgvector_findings("0.8.4")] == ["pgvector_version"]
    assert list(pgvector_findings("0.9.0")) == []
    assert [finding.count for finding in ledger_findings(10**8)] == [10**8]
    assert list(ledger_findings(10**6)) == []
    url: Any = "postgresql://u@h/d"
    assert list(disk_findings(DatabaseSettings(database_url=url))) == []


LINES = ("the red pump", "oil and filter", "2024-01-31 X-100/B")
VALUES = (1, "x", True, "2026-01-31")
OPERATIONS = strategies.lists(
    strategies.tuples(
        strategies.sampled_from(("put", "describe", "remove", "delete")),
        strategies.sampled_from(("a.md", "b.md", "c.md")),
        strategies.sets(strategies.sampled_from(("everyone", "user:ada", "group:eng")), min_size=1).map(frozenset),
        strategies.lists(strategies.sampled_from(LINES), min_size=1, max_size=3),
        strategies.dictionaries(strategies.sampled_from(("year", "kind")), strategies.sampled_from(VALUES)),
    ),
    max_size=8,
)
_numbers = count()


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(operations=OPERATIONS)
def test_whatever_was_written_and_deleted_the_index_is_sound(database: str, operations: Sequence[Any]) -> None:
    """No order of replacing, describing, removing and deleting leaves anything for the doctor."""
    tenant = tenant_id(f"random-{next(_numbers)}")
    add_tenant(database, tenant)
    with open_writer(database, tenant) as writer:
        for what, uri, acl, lines, metadata in operations:
            described = source(uri, acl, metadata)
            match what:
                case "put":
                    writer.replace([made(described, "\n".join(lines))], PROFILE.generation_id)
                case "describe":
                    writer.describe([described])
                case "remove":
                    writer.remove(uri)
                case _:
                    deletion = Deletion(dsn=database, tenant=tenant, asked_by="test", asked_at=datetime.now(UTC))
                    with suppress(NotFound):
                        delete_documents(deletion, uris=[uri])
    found = found_in(database, index_from=10**6, only=tenant)
    assert [finding for finding in found if finding.tenant == tenant] == []


def test_the_command_says_it_for_people_and_for_programs(sound: str) -> None:
    """A line each, JSON when asked for; the exit code is that of what is left."""
    embedder = {"PINCITE_EMBEDDER_PROVIDER": "openai", "PINCITE_EMBEDDER_MODEL": "words-64"}
    environment = {"PINCITE_DATABASE_URL": sound, **embedder, "PINCITE_EMBEDDER_BASE_URL": "http://127.0.0.1:9"}
    damage(sound, DAMAGES["languages"].statements)

    def doctor(*arguments: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, ["doctor", "--tenant", "acme", *arguments], env=environment)
        return done.exit_code, done.stdout

    code, told = doctor("--json")
    found = [json.loads(line) for line in told.splitlines() if line.startswith("{")]
    assert code == 3
    assert ("wrong_language_statistics", "acme", 1) in [(each["code"], each["tenant"], each["count"]) for each in found]
    assert "mended" in doctor("--fix")[1]
    assert doctor()[0] == 0


def test_each_generation_is_examined(dsn: str) -> None:
    """What is wrong in one that is built beside the live one is found and mended there; what it lacks is told."""
    place(dsn, "acme", made(source("a.md"), "The red pump needs oil.\nIts filter lasts."))
    rebuild = added(dsn, "strange")
    build(rebuild)
    assert found_in(dsn, index_from=10) == []
    damage(dsn, "UPDATE pincite_g2.language_statistics SET chunk_count = 99")
    [found] = found_in(dsn, index_from=10, fix=True)
    assert (found.code, found.mended) == ("wrong_language_statistics", True)
    assert "generation 2" in found.what
    place(dsn, "acme", made(source("b.md"), "Vacation is 25 days."))
    assert [(each.code, each.severity) for each in found_in(dsn, index_from=10)] == [("unmade_documents", "info")]


def test_cuts_of_another_recipe_are_told(dsn: str) -> None:
    """Documents that would be cut otherwise today are counted, and nothing is wrong with them."""
    place(dsn, "acme", made(source("a.md"), "The red pump needs oil."))
    checkup = Checkup(
        dsn=dsn, settings=on_database(dsn).database, index_from=10, embedder=WordEmbedder(), recipe=RECIPE
    )
    assert [each.code for each in examine(checkup) if each.code not in OURS] == []
    found = examine(replace(checkup, recipe="another"))
    assert [(each.code, each.severity) for each in found if each.code not in OURS] == [("old_cuts", "info")]
