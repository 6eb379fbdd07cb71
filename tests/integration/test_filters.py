"""Filters on a real Postgres: what the SQL finds is what the filter says, in any shape, on any metadata."""

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from psycopg import sql

from ingest.pipeline import ingest
from ingest.sources import Request, select
from retrieval.access import Caller, caller
from retrieval.database.statements import TenantStatement
from retrieval.database.store import Store, open_store
from retrieval.domain import ChunkKey
from retrieval.errors import InvalidFilter
from retrieval.filters import Exists, Filter, Not, OneOf, StartsWith, Value, Within
from retrieval.search.filtering import narrow
from retrieval.search.fusion import fuse
from retrieval.search.legs import dense_leg, lexical_leg
from retrieval.search.narrowing import Narrowing, compiled
from retrieval.settings import SearchSettings, Settings
from tests.conftest import ingest_folder, new_database, on_database, run_of
from tests.fakes import WordEmbedder
from tests.filter_reference import Place, matches
from tests.integration.test_ingest import counted_right
from tests.made_up_filters import MOMENTS, filters, metadata
from tests.unit.test_parsing_formats import make_pdf

ADA = caller("north", ["group:a"])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chunk:
    document_id: UUID
    ordinal: int
    uri: str
    title: str
    language: str
    content_type: str
    version: int
    updated_at: datetime
    metadata: dict[str, Value]
    first_page: int | None
    last_page: int | None
    heading_path: list[str]
    sections: list[dict[str, Any]]

    @property
    def key(self) -> ChunkKey:
        return ChunkKey(document_id=self.document_id, ordinal=self.ordinal)

    @property
    def place(self) -> Place:
        own = {name: getattr(self, name) for name in ("uri", "title", "language", "content_type", "version")}
        dates = {
            f"metadata.{key}": MOMENTS.get(value) for key, value in self.metadata.items() if isinstance(value, str)
        }
        return Place(
            fields=own | {f"metadata.{key}": value for key, value in self.metadata.items()},
            dates={"updated_at": self.updated_at} | {name: moment for name, moment in dates.items() if moment},
            pages=range(self.first_page, (self.last_page or 0) + 1) if self.first_page else range(0),
            headings=[*self.heading_path, *(heading for each in self.sections for heading in each["heading_path"])],
        )


_CHUNKS = TenantStatement(
    sql.SQL(
        "SELECT document_id, ordinal, uri, title, language, content_type, version, updated_at, metadata, first_page,"
        " last_page, heading_path, sections FROM chunks JOIN documents USING (tenant_id, document_id)"
        " WHERE tenant_id = %(tenant_id)s AND acl && %(principals)s"
    )
)


@pytest.fixture(scope="module")
def database(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Eighty documents of any metadata, three of them long; every fifth for another group than Ada's."""
    folder = tmp_path_factory.mktemp("filters") / "docs"
    folder.mkdir()
    long = {
        "manual.pdf": make_pdf(*(f"Pump page {page}. " + "The pump needs oil. " * 30 for page in range(1, 5))),
        "rules.md": b"# Rules\n\n## Pumps\n\n" + b"Oil the pump weekly. " * 30 + b"\n\n## Valves\n\nNo pump. " * 9,
        "short.md": b"# Notes\n\n## One\n\nA pump.\n\n## Two\n\nA pump too.\n",
    }
    for name, content in long.items():
        (folder / name).write_bytes(content)
    for at in range(77):
        (folder / f"{at}.txt").write_text(f"The pump number {at} was checked.")
    manifest = folder / "manifest.jsonl"
    manifest.write_text(
        "\n".join(
            json.dumps({"path": path.name, "allow": [f"group:{'ab'[at % 5 == 4]}"], "metadata": metadata(at)})
            for at, path in enumerate(sorted(each for each in folder.iterdir() if each != manifest))
        )
    )
    for dsn in new_database(server):
        report = ingest_folder(dsn, WordEmbedder(), "north", Request(manifest=manifest))
        assert len(report.indexed) == 80
        yield dsn


@pytest.fixture(scope="module")
async def store(database: str) -> AsyncIterator[Store]:
    async with open_store(database, on_database(database).database) as opened:
        yield opened


async def chunks(store: Store, who: Caller = ADA) -> list[_Chunk]:
    async with store.session(who) as session:
        return await session.rows(_Chunk, _CHUNKS)


async def nearest(store: Store, narrowing: Narrowing) -> list[ChunkKey]:
    embedding = await WordEmbedder().embed_question("pump")
    found = await dense_leg(store, ADA, embedding, SearchSettings(candidates=1000), narrowing)
    return [hit.key for hit in found.hits]


async def worded(store: Store, narrowing: Narrowing) -> list[ChunkKey]:
    found = await lexical_leg(store, ADA, "pump", SearchSettings(candidates=1000), narrowing)
    return [hit.key for hit in found.hits]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(wanted=filters)
async def test_what_is_found_is_what_the_filter_says(store: Store, wanted: Filter) -> None:
    """Both legs find exactly the visible chunks for which plain Python says that the filter holds."""
    expected = {chunk.key for chunk in await chunks(store) if matches(wanted, chunk.place)}
    assert set(await nearest(store, compiled(wanted))) == expected
    assert set(await worded(store, compiled(wanted))) == expected


async def test_every_document_has_a_filter_that_finds_it(store: Store) -> None:
    """Every value under every key, however hostile, is found by itself."""
    for chunk in await chunks(store):
        for key, value in chunk.metadata.items():
            if value != "x" * 10_000:
                narrowing = await narrow(store, ADA, OneOf(field=f"metadata.{key}", values=(value,)))
                assert chunk.key in await nearest(store, narrowing), (key, value)


async def test_passages_are_held_against_the_filter_when_they_are_read(store: Store) -> None:
    """A document that stopped matching after its leg ran is not among the passages."""
    embedding = await WordEmbedder().embed_question("pump")
    lexical = await lexical_leg(store, ADA, "pump", SearchSettings())
    narrowing = await narrow(store, ADA, StartsWith(field="uri", prefix="docs/1"))
    found = await fuse(store, ADA, embedding, (), lexical, 0.5, narrowing)
    assert found
    assert {each.passage.uri[:6] for each in found} == {"docs/1"}


async def test_a_field_of_two_kinds_is_compared_as_either(dsn: str, tmp_path: Path) -> None:
    """Where documents hold different kinds under one key, a condition asks those of its own kind."""
    for name, value in (("a", 2025), ("b", "2025"), ("c", "2025-06-01"), ("d", True)):
        (tmp_path / f"{name}.txt").write_text("A pump.")
        request = Request(paths=(tmp_path / f"{name}.txt",), acl=frozenset({"everyone"}), metadata={"year": value})
        ingest_folder(dsn, WordEmbedder(), "north", request)
    finds: dict[str, list[Filter]] = {
        "a": [OneOf(field="metadata.year", values=(2025,)), Within(field="metadata.year", gte=2000.5)],
        "b": [OneOf(field="metadata.year", values=("2025",))],
        "c": [Within(field="metadata.year", gte=date(2025, 1, 1), lt=date(2026, 1, 1))],
        "d": [OneOf(field="metadata.year", values=(True,))],
        "bc": [StartsWith(field="metadata.year", prefix="2025")],
        "abd": [Not(part=Within(field="metadata.year", gte=date(2000, 1, 1)))],
        "abcd": [Exists(field="metadata.year")],
    }
    async with open_store(dsn, on_database(dsn).database) as store:
        uris = {chunk.key: chunk.uri[0] for chunk in await chunks(store)}
        for expected, wishes in finds.items():
            for wanted in wishes:
                found = await nearest(store, await narrow(store, ADA, wanted))
                assert "".join(sorted(uris[key] for key in found)) == expected, wanted


async def test_fields_of_others_are_known_by_name_only(store: Store) -> None:
    """Names of fields belong to the tenant, as words do; another tenant's are unknown, and values are never told."""
    [hidden] = {key for chunk in await chunks(store, caller("north", ["group:b"])) for key in chunk.metadata} & {
        "plain"
    }
    assert await nearest(store, await narrow(store, ADA, Exists(field=f"metadata.{hidden}")))
    with pytest.raises(InvalidFilter, match="unknown field, no document has it"):
        await narrow(store, caller("south", ["group:b"]), Exists(field=f"metadata.{hidden}"))


async def test_what_is_known_of_fields_follows_the_documents(dsn: str, tmp_path: Path) -> None:
    """A field is known from the first document that has it to the last, through new metadata, new text and removal."""

    def run(metadata: dict[str, Value], allow: str = "everyone") -> None:
        request = Request(paths=(tmp_path,), acl=frozenset({allow}), metadata=metadata)
        settings = Settings().ingest
        ingest(
            run_of(dsn, WordEmbedder(), ADA.tenant, settings=settings, prune=True),
            select(request),
        )
        counted_right(dsn)

    async def known(*wanted: Filter) -> list[bool]:
        async with open_store(dsn, on_database(dsn).database) as store:
            return [await is_known(store, each) for each in wanted]

    text, moment = OneOf(field="metadata.due", values=("soon",)), Within(field="metadata.due", gt=date(2026, 1, 1))
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text("A pump.")
    run({"due": "soon", "k" * 201: "long"})
    assert await known(text, moment) == [True, False]
    run({"due": "2026-01-31"})
    assert await known(text, moment) == [True, True]
    run({"due": "2026-01-31"}, allow="group:b")
    (tmp_path / "a.txt").unlink()
    (tmp_path / "b.txt").write_text("Another pump.")
    run({"due": 7})
    assert await known(text, moment, Within(field="metadata.due", gt=6)) == [False, False, True]
    run({})
    assert await known(Exists(field="metadata.due")) == [False]


async def is_known(store: Store, wanted: Filter) -> bool:
    try:
        await narrow(store, ADA, wanted)
    except InvalidFilter:
        return False
    return True
