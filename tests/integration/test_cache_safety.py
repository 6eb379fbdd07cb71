"""No hit that a fresh search would not allow: random documents, rights, rewrites and questions, held against a plain
model of them. Run it hard with `CACHE_EXAMPLES=5000`."""

import asyncio
import os
import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import TypeAlias

import psycopg
import pytest
from hypothesis import HealthCheck, event, given, settings, strategies

from ingest.domain import Chunk, Document, SourceFile
from ingest.examining import Parsed
from ingest.store import EmbeddedDocument, TenantWriter, add_tenant, open_writer
from retrieval.access import Caller, TenantId, caller, tenant_id
from retrieval.answering import answer
from retrieval.caching.wording import normalised, telling_words
from retrieval.database.generations import FIRST
from retrieval.database.store import open_store
from retrieval.domain import NOTHING_SPENT, AnswerFinished, Origin, PassagesFound, Question, Served, Tier, Usage
from retrieval.engine import Engine
from retrieval.filters import Filter, StartsWith
from retrieval.generation.drafts import Draft, Drafted
from retrieval.generation.llm import Begun, EndpointState, ToolsAsked
from retrieval.settings import CacheSettings, LlmSettings, SearchSettings
from tests.conftest import new_database, on_database
from tests.fakes import WordEmbedder

EXAMPLES = int(os.environ.get("CACHE_EXAMPLES", "25"))
TENANTS = ("north", "south")
GROUPS = ("group:a", "group:b", "user:ada")
URIS = ("docs/0", "docs/1", "wiki/2")
TEXTS = (
    "The red pump needs oil every single week.",
    "The red pump needs oil every other month.",
    "The blue pump never needs any oil at all.",
    "The red pump needs oil; its filter lasts long.",
)
QUESTIONS = (
    "How often does the red pump need oil?",
    "how often does the red pump need oil",
    "How often does the pump need red oil?",
    "How often does the red pump not need oil?",
    "How often does the blue pump need oil?",
)
FILTERS: tuple[Filter | None, ...] = (None, StartsWith(field="uri", prefix="docs/"))

tenants = strategies.sampled_from(TENANTS)
acls = strategies.sets(strategies.sampled_from((*GROUPS, "everyone")), min_size=1, max_size=2).map(frozenset)


@dataclass(frozen=True)
class Put:
    tenant: str
    uri: str
    text: str
    acl: frozenset[str]


@dataclass(frozen=True)
class Describe:
    tenant: str
    uri: str
    acl: frozenset[str]


@dataclass(frozen=True)
class Remove:
    tenant: str
    uri: str


@dataclass(frozen=True)
class Overwrite:
    """A right or a version that changes past the writer: nobody invalidates anything."""

    tenant: str
    uri: str
    acl: frozenset[str] | None


@dataclass(frozen=True)
class Ask:
    tenant: str
    principals: frozenset[str]
    text: str
    limit: int
    filter: Filter | None


@dataclass(frozen=True)
class Together:
    """Several at once."""

    asks: tuple[Ask, ...]


Step: TypeAlias = Put | Describe | Remove | Overwrite | Ask | Together

uris = strategies.sampled_from(URIS)
puts = strategies.builds(Put, tenants, uris, strategies.sampled_from(TEXTS), acls)
asks = strategies.builds(
    Ask,
    tenants,
    strategies.sets(strategies.sampled_from(GROUPS), max_size=2).map(frozenset),
    strategies.sampled_from(QUESTIONS),
    strategies.sampled_from((2, 5)),
    strategies.sampled_from(FILTERS),
)
# A crowd asks what few ask: two principals, two wordings, so that there is something to hit.
regulars = strategies.builds(
    Ask,
    strategies.just(TENANTS[0]),
    strategies.sampled_from((frozenset({"group:a"}), frozenset({"group:b"}))),
    strategies.sampled_from(QUESTIONS[:2]),
    strategies.just(5),
    strategies.none(),
)
steps = strategies.one_of(
    *[regulars] * 4,
    asks,
    puts,
    strategies.builds(Describe, tenants, uris, acls),
    strategies.builds(Remove, tenants, uris),
    strategies.builds(Overwrite, tenants, uris, strategies.none() | acls),
    strategies.builds(Together, strategies.lists(asks | regulars, min_size=2, max_size=4).map(tuple)),
)
openings = strategies.lists(puts, min_size=1, max_size=4)
programs = strategies.builds(
    lambda begin, rest: [*begin, *rest], openings, strategies.lists(steps, min_size=4, max_size=14)
)


class CitingLlm:
    """Quotes each passage it is shown, and signs: who has read a signature can tell for whom it was written."""

    name = "citing"

    def __init__(self) -> None:
        self.written_for: dict[str, tuple[Caller, str]] = {}
        self._signatures = map(_signature, count())

    @asynccontextmanager
    async def turn(
        self, caller: Caller, _origin: Origin | None = None, _start: Tier = "small"
    ) -> AsyncIterator["_CitingTurn"]:
        yield _CitingTurn(self, caller)

    def sign(self, caller: Caller, question: str) -> str:
        """A word that is in no other answer."""
        signature = next(self._signatures)
        self.written_for[signature] = (caller, question)
        return signature

    async def endpoints(self) -> Mapping[str, EndpointState]:
        return {}

    async def close(self) -> None:
        """Nothing is held."""


@dataclass(frozen=True)
class _CitingTurn:
    llm: CitingLlm
    caller: Caller
    cascades: bool = False
    usage: Usage = NOTHING_SPENT
    cost_usd: Decimal | None = None

    async def check_budget(self, draft: Drafted) -> None:
        """There is none."""

    def escalate(self) -> None:
        """There is one tier."""

    async def leave(self) -> None:
        """There is no line."""

    async def stream(self, draft: Drafted) -> AsyncGenerator[Begun | ToolsAsked | str | Usage, None]:
        assert isinstance(draft, Draft)
        yield Begun(served=Served(endpoint="e", model="m", attempts=1), passages=draft.passages)
        yield f"{self.llm.sign(self.caller, draft.question)} answers.\n\n"
        await asyncio.sleep(0)
        for ranked in reversed(draft.passages):
            yield f'It says "{ranked.passage.text}" [{ranked.number}]. '
        yield self.usage


def _signature(number: int) -> str:
    return "Q" + "".join(chr(ord("a") + int(digit)) for digit in str(number))


@dataclass(frozen=True)
class Known:
    """A document as it is now, by our own account."""

    text: str
    acl: frozenset[str]
    version: int


@dataclass
class World:
    """The database, and what it should say."""

    dsn: str
    engine: Engine
    llm: CitingLlm
    writers: Mapping[str, TenantWriter]
    names: Mapping[str, TenantId]
    known: dict[tuple[str, str], Known] = field(default_factory=dict)
    gone: dict[str, int] = field(default_factory=dict)  # the highest version that was deleted, by tenant

    async def take(self, step: Step) -> None:
        """Does the step to both; asks are checked."""
        match step:
            case Put(tenant, uri, text, acl):
                before = self.known.get((tenant, uri))
                self.writers[tenant].replace([_document(uri, text, acl)], FIRST)
                self.known[tenant, uri] = Known(text, acl, 1 + (before.version if before else self.gone.get(tenant, 0)))
            case Describe(tenant, uri, acl) if (tenant, uri) in self.known:
                self.writers[tenant].describe([_source(uri, acl)])
                self.known[tenant, uri] = replace(self.known[tenant, uri], acl=acl)
            case Remove(tenant, uri):
                self.writers[tenant].remove(uri)
                if (removed := self.known.pop((tenant, uri), None)) is not None:
                    self.gone[tenant] = max(self.gone.get(tenant, 0), removed.version)
            case Overwrite(tenant, uri, acl) if (tenant, uri) in self.known:
                self._overwrite(tenant, uri, acl)
            case Ask():
                await self._ask(step)
            case Together(asks):
                await asyncio.gather(*map(self._ask, asks))

    def _overwrite(self, tenant: str, uri: str, acl: frozenset[str] | None) -> None:
        before = self.known[tenant, uri]
        after = replace(before, version=before.version + 1) if acl is None else replace(before, acl=acl)
        self.known[tenant, uri] = after
        with psycopg.connect(self.dsn) as connection:
            connection.execute(
                "UPDATE documents SET acl = %s, version = %s WHERE tenant_id = %s AND uri = %s",
                [sorted(after.acl), after.version, self.names[tenant], uri],
            )

    async def _ask(self, ask: Ask) -> None:
        who = caller(self.names[ask.tenant], ask.principals)
        question = Question(text=ask.text, caller=who, limit=ask.limit, filter=ask.filter)
        events = [each async for each in answer(self.engine, question)]
        begun, end = events[0], events[-1]
        assert isinstance(begun, PassagesFound)
        assert isinstance(end, AnswerFinished)
        event(end.cache)
        self._check_truth(ask.tenant, who, end, ask.filter)
        if end.cache in ("exact", "semantic", "shared"):
            self._check_hit(who, question, begun, end)

    def _check_truth(self, tenant: str, who: Caller, end: AnswerFinished, wanted: Filter | None) -> None:
        """Every citation is what the document says now, to somebody who may see it."""
        for citation in end.citations:
            document = self.known[tenant, citation.uri]
            assert who.may_see(document.acl)
            assert citation.version == document.version
            assert document.text[citation.char_start : citation.char_end] == citation.quote
            assert wanted is None or citation.uri.startswith("docs/")

    def _check_hit(self, who: Caller, question: Question, begun: PassagesFound, end: AnswerFinished) -> None:
        """It was written for these principals of this tenant, asked the same, and cites what this search found."""
        signature = end.text.partition(" ")[0]
        if end.citations:
            written_for, text = self.llm.written_for[signature]
            assert written_for == who
            same = normalised(text) == normalised(question.text)
            assert same or end.cache != "exact"
            assert telling_words(normalised(text)) == telling_words(normalised(question.text))
        passages = {ranked.number: ranked.passage for ranked in begun.retrieval.passages}
        for citation in end.citations:
            passage = passages[citation.number]
            assert (passage.key.document_id, passage.version) == (citation.document_id, citation.version)
            assert passage.char_start <= citation.char_start < citation.char_end <= passage.char_end
            assert re.search(rf'"{re.escape(citation.quote)}\W{{1,2}} \[{citation.number}\]', end.text), end.text
        assert end.usage is None


@pytest.fixture(scope="module")
def database(server: str) -> Iterator[str]:
    for dsn in new_database(server):
        with psycopg.connect(dsn) as connection:
            connection.execute(
                "INSERT INTO generations VALUES (1, %s, %s)", [WordEmbedder.name, WordEmbedder.dimensions]
            )
        yield dsn


@pytest.fixture(scope="module")
async def parts(database: str) -> AsyncIterator[tuple[Engine, CitingLlm]]:
    settings = replace(
        on_database(database),
        llm=LlmSettings(model="m", ask_from=0.0),
        search=SearchSettings(shadow_rate=0),
        cache=CacheSettings(similarity=0.9),
    )
    llm = CitingLlm()
    async with open_store(database, settings.database) as store:
        yield Engine(settings=settings, store=store, embedder=WordEmbedder(), reranker=None, llm=llm), llm


_numbers = count()


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(program=programs)
async def test_no_hit_that_a_fresh_search_would_not_allow(
    database: str, parts: tuple[Engine, CitingLlm], program: Sequence[Step]
) -> None:
    """Whatever was asked, written, revoked and deleted before, past the writer too: a hit is written for this very
    asker, for a question with the same telling_words, cites passages that this search found, and says what they say."""
    number = next(_numbers)
    names = {tenant: tenant_id(f"{tenant}-{number}") for tenant in TENANTS}
    for name in names.values():
        add_tenant(database, name)
    with open_writer(database, names["north"]) as north, open_writer(database, names["south"]) as south:
        engine, llm = parts
        world = World(database, engine, llm, {"north": north, "south": south}, names)
        for step in program:
            await world.take(step)


def _source(uri: str, acl: frozenset[str]) -> SourceFile:
    return SourceFile(path=Path(uri), uri=uri, title=None, acl=acl, metadata={}, language=None)


def _document(uri: str, text: str, acl: frozenset[str]) -> EmbeddedDocument:
    chunk = Chunk(
        ordinal=0,
        heading_path=(),
        sections=(),
        context="",
        lead="",
        text=text,
        char_start=0,
        char_end=len(text),
        first_page=None,
        last_page=None,
        page_starts=(),
        token_count=9,
    )
    document = Document(title=uri, text=text, blocks=(), page_starts=(), content_type="text/plain")
    parsed = Parsed(source=_source(uri, acl), document=document, language="en", fingerprint=f"{uri}{text}".encode())
    return EmbeddedDocument(parsed=parsed, chunks=(chunk,), recipe="", vectors=WordEmbedder().embed_documents([text]))
