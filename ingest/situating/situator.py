"""Chunks get a sentence of where they stand: from what was written before, else by asking a language model.

What cannot be had is left out: the chunk is then found by its title, headings and text alone, as without any of this.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, aclosing, asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol
from uuid import UUID

import structlog
from anyio.from_thread import BlockingPortal, start_blocking_portal

from ingest.domain import Chunk, Document
from ingest.situating.prompting import Excerpt
from ingest.situating.wording import recipe_of_words, room_for_words, with_words, worded
from retrieval.access import Caller, TenantId, caller
from retrieval.database.statements import tenant_statement
from retrieval.database.store import Store, open_store
from retrieval.engine import load_llm
from retrieval.errors import BudgetExhausted, InvalidSettings, PinciteError
from retrieval.generation.llm import Llm
from retrieval.generation.masking import shielded
from retrieval.models.protocols import Embedder
from retrieval.settings import Settings
from retrieval.telemetry import telemetry_of

PAYER = "service:ingest"
"""The principal that calls are booked for, so that ingesting can be given a budget of its own."""

_KNOWN = tenant_statement("ingest", "known_contexts")
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Situated:
    """A document's chunks, what was written for them by key, to be kept, and how many lack it that should have it."""

    chunks: tuple[Chunk, ...]
    written: Mapping[bytes, str] = field(default_factory=dict)
    lacking: int = 0


class Situator(Protocol):
    """Says where chunks stand."""

    @property
    def recipe(self) -> str:
        """What its words depend on besides the document; "" where it says nothing."""

    @property
    def room(self) -> int:
        """Tokens to leave in each chunk for its words."""

    def situate(self, document_id: UUID, document: Document, chunks: Sequence[Chunk]) -> Situated:
        """The chunks, its words in their contexts. A model that fails is worked around. Raises `StoreUnavailable`."""


class Silent:
    """Says nothing."""

    recipe = ""
    room = 0

    def situate(self, _document_id: UUID, _document: Document, chunks: Sequence[Chunk]) -> Situated:
        """The chunks as they are."""
        return Situated(chunks=tuple(chunks))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    key: bytes
    context: str


@dataclass(slots=True, kw_only=True)
class WritingSituator:
    """Asks a language model, at most `at_once` questions at a time; from the first budget refused on, none."""

    store: Store
    llm: Llm
    settings: Settings
    payer: Caller
    embedder: Embedder
    at_once: int
    _exhausted: bool = False

    @property
    def recipe(self) -> str:
        return recipe_of_words(self.llm.name, self.room)

    @property
    def room(self) -> int:
        return room_for_words(self.settings.ingest, self.embedder)

    async def situate(self, document_id: UUID, document: Document, chunks: Sequence[Chunk]) -> Situated:
        """As `Situator` promises."""
        excerpts = [Excerpt(document=document, chunk=chunk) for chunk in chunks]
        keys = [excerpt.key(self.llm.name) for excerpt in excerpts]
        known = await self._known(document_id, keys)
        gate = asyncio.Semaphore(self.at_once)
        words = await asyncio.gather(
            *(self._words(gate, excerpt, known.get(key)) for key, excerpt in zip(keys, excerpts, strict=True))
        )
        written = {key: said for key, said in zip(keys, words, strict=True) if said is not None}
        situated = with_words(chunks, [said or "" for said in words], self.embedder.count_tokens)
        return Situated(chunks=situated, written=written, lacking=words.count(None))

    async def _known(self, document_id: UUID, keys: Sequence[bytes]) -> dict[bytes, str]:
        async with self.store.session(self.payer) as session:
            rows = await session.rows(_Known, _KNOWN, document_id=document_id, keys=list(keys))
        return {row.key: row.context for row in rows}

    async def _words(self, gate: asyncio.Semaphore, excerpt: Excerpt, known: str | None) -> str | None:
        """What is known, else what the model says; None where it cannot be asked now."""
        if known is not None:
            return known
        async with gate:
            if self._exhausted:
                return None
            try:
                return worded(await self._asked(excerpt), self.embedder.count_tokens, self.room)
            except PinciteError as error:
                self._exhausted |= isinstance(error, BudgetExhausted)
                _log.warning("context_not_written", code=error.code, reason=str(error))
                return None

    async def _asked(self, excerpt: Excerpt) -> str:
        pieces = list[str]()
        async with (
            self.llm.turn(self.payer) as turn,
            aclosing(shielded(turn, self.settings.guard).stream(excerpt)) as stream,
        ):
            async for piece in stream:
                if isinstance(piece, str):
                    pieces.append(piece)
        return "".join(pieces)


class _FromThreads:
    """The situator for the ingest path, whose threads know no event loop: its loop runs in a thread of its own."""

    def __init__(self, situator: WritingSituator, portal: BlockingPortal) -> None:
        self.recipe, self.room = situator.recipe, situator.room
        self._ask: Callable[[UUID, Document, Sequence[Chunk]], Situated] = partial(portal.call, situator.situate)

    def situate(self, document_id: UUID, document: Document, chunks: Sequence[Chunk]) -> Situated:
        """As `Situator` promises."""
        return self._ask(document_id, document, chunks)


Situating = Callable[[TenantId, Embedder], AbstractContextManager[Situator]]
"""Gives a tenant's situator, for chunks that this embedder takes, for as long as it is needed."""


def nobody_situates(_tenant: TenantId, _embedder: Embedder) -> AbstractContextManager[Situator]:
    """The situator that says nothing."""
    return nullcontext(Silent())


def situators(dsn: str, settings: Settings) -> Situating:
    """Each tenant's situator, as `open_situator()` gives it."""
    return lambda tenant, embedder: open_situator(dsn, tenant, embedder, settings)


@contextmanager
def open_situator(dsn: str, tenant: TenantId, embedder: Embedder, settings: Settings) -> Iterator[Situator]:
    """The situator that the settings ask for. Raises `InvalidSettings` where it has no model to ask, and
    `StoreUnavailable`."""
    if not settings.ingest.context_written:
        yield Silent()
        return
    if not settings.llm.servers:
        raise InvalidSettings("PINCITE_INGEST_CONTEXT_WRITTEN needs a language model: set PINCITE_LLM_MODEL")
    with start_blocking_portal() as portal:
        opening = _opened(dsn, caller(tenant, {PAYER}), embedder, settings)
        with portal.wrap_async_context_manager(opening) as situator:
            yield _FromThreads(situator, portal)


@asynccontextmanager
async def _opened(dsn: str, payer: Caller, embedder: Embedder, settings: Settings) -> AsyncIterator[WritingSituator]:
    async with open_store(dsn, settings.database) as store:
        llm = load_llm(store, telemetry_of(settings.telemetry), settings)
        assert llm is not None
        try:
            yield WritingSituator(
                store=store,
                llm=llm,
                settings=settings,
                payer=payer,
                embedder=embedder,
                at_once=min(server.concurrency or settings.llm.concurrency for server in settings.llm.servers),
            )
        finally:
            await llm.close()
