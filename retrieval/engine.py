"""Everything a question needs, opened once: the store, the models, the LLM, the settings."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol, TypeVar, runtime_checkable

import structlog

from retrieval.admission import Admission
from retrieval.database import migrations
from retrieval.database.server import database_dsn
from retrieval.database.statements import reference_statement
from retrieval.database.store import Store, open_store
from retrieval.domain import AnswerFinished
from retrieval.errors import EmbedderUnavailable, IndexMismatch, RerankerUnavailable
from retrieval.flights import Flights
from retrieval.generation.gateway import LlmGateway
from retrieval.generation.llm import Llm
from retrieval.models.loading import load_embedder, load_reranker
from retrieval.models.protocols import Embedder, Reranker
from retrieval.search.shadowing import ShadowSearches, shadow_searches
from retrieval.settings import Settings
from retrieval.spending.books import LedgerBooks
from retrieval.spending.ledger import Ledger
from retrieval.spending.prices import load_prices
from retrieval.telemetry import Telemetry, telemetry_of

Model = TypeVar("Model")

_PROFILE = reference_statement("retrieval", "index_profile")
_SETTLED_WITHIN = 60.0
"""Seconds after an answer's deadline by which its calls are settled, unless their process died."""
_log = structlog.get_logger(__name__)


@runtime_checkable
class Closable(Protocol):
    """What holds threads or connections until it is closed."""

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexProfile:
    """The model the stored vectors were made by."""

    embedder: str
    dimensions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """A part that is configured but could not be loaded, and why: the service runs on without it."""

    reason: str


@dataclass(slots=True, kw_only=True)
class Engine:
    """The parts. `embedder` and `reranker` may be `Missing`; None means that none is configured."""

    settings: Settings
    store: Store
    embedder: Embedder | Missing
    reranker: Reranker | Missing | None
    llm: Llm | None
    telemetry: Telemetry = field(default_factory=Telemetry)
    shadows: ShadowSearches | None = None
    admission: Admission = field(init=False, repr=False)
    flights: Flights[AnswerFinished] = field(default_factory=Flights, repr=False)
    _profile: IndexProfile | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        search = self.settings.search
        self.admission = Admission(search.at_once, search.waiting, search.patience)

    async def profile(self) -> IndexProfile | None:
        """The index profile; None while nothing has been ingested yet.

        Raises `IndexMismatch` when the configured embedder is not the one the index was built by.
        """
        if self._profile is None:
            found = await self.store.reference_rows(IndexProfile, _PROFILE)
            if found:
                check_profile(found[0], self.embedder)
                self._profile = found[0]
        return self._profile


def check_profile(profile: IndexProfile, embedder: Embedder | Missing) -> None:
    """Raises `IndexMismatch` unless this embedder's vectors may be compared with the stored ones."""
    if isinstance(embedder, Missing) or embedder.name == profile.embedder:
        return
    raise IndexMismatch(
        f"the index was built by {profile.embedder} ({profile.dimensions} dimensions), the configured embedder is"
        f" {embedder.name}: set PINCITE_EMBEDDER_MODEL back, or ingest into another database"
    )


@asynccontextmanager
async def open_engine(
    settings: Settings,
    *,
    embedder: Embedder | None = None,
    reranker: Reranker | None = None,
    telemetry: Telemetry | None = None,
) -> AsyncIterator[Engine]:
    """Opens the parts, checks that index and models belong together, closes in reverse.

    Models that are given are used instead of the configured ones, and left open: they are the giver's.
    A model that does not load leaves the engine running without it, declared. Raises `StoreUnavailable`,
    `StoreUnsupported` and `IndexMismatch`.
    """
    dsn = await asyncio.to_thread(prepare_database, settings)
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(open_store(dsn, settings.database))
        used_embedder = await _opened(stack, _embedder, settings) if embedder is None else embedder
        load = partial(_reranker, used_embedder)
        used_reranker = await _opened(stack, load, settings) if reranker is None else reranker
        telemetry = telemetry or telemetry_of(settings.telemetry)
        llm = await _opened(stack, partial(load_llm, store, telemetry), settings)
        engine = Engine(
            settings=settings,
            store=store,
            embedder=used_embedder,
            reranker=used_reranker,
            llm=llm,
            telemetry=telemetry,
            shadows=await stack.enter_async_context(shadow_searches(dsn, settings, telemetry)),
        )
        await engine.profile()
        yield engine


def prepare_database(settings: Settings) -> str:
    """The database's DSN, its schema checked. The embedded server is started and brought up to date by itself.

    Raises `StoreUnavailable`, `StoreUnsupported` and `IndexMismatch`.
    """
    dsn = database_dsn(settings.database)
    if settings.database.database_url is None:
        migrations.upgrade(dsn)
    else:
        migrations.check_schema(dsn)
    return dsn


async def _opened(stack: AsyncExitStack, load: Callable[[Settings], Model], settings: Settings) -> Model:
    """The loaded model, closed when the engine is."""
    model = await asyncio.to_thread(load, settings)
    if isinstance(model, Closable):
        stack.push_async_callback(model.close)
    return model


def _embedder(settings: Settings) -> Embedder | Missing:
    try:
        return load_embedder(settings.embedder, settings.breaker)
    except EmbedderUnavailable as error:
        _log.warning("embedder_unavailable", reason=str(error))
        return Missing(reason=str(error))


def load_llm(store: Store, telemetry: Telemetry, settings: Settings) -> Llm | None:
    """The configured language model, its calls booked in the store; None where none is configured."""
    if not settings.llm.servers:
        return None
    prices = load_prices(settings.spending.prices)
    if unpriced := [server.name for server in settings.llm.servers if prices.of(server) is None]:
        _log.warning("llm_unpriced", endpoints=unpriced, reason="no price is known: a budget in USD does not hold them")
    books = LedgerBooks(Ledger(store, settings.llm.deadline + _SETTLED_WITHIN))
    return LlmGateway(settings.llm, settings.breaker, books, prices, telemetry)


def _reranker(embedder: Embedder | Missing, settings: Settings) -> Reranker | Missing | None:
    try:
        return load_reranker(settings.reranker, embedder, settings.breaker)
    except RerankerUnavailable as error:
        _log.warning("reranker_unavailable", reason=str(error))
        return Missing(reason=str(error))
