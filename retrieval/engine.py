"""Everything a question needs, opened once: the store, the models, the LLM, the settings."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from copy import copy
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

import structlog

from retrieval.admission import Admission
from retrieval.database.generations import Generation, live_one
from retrieval.database.preparing import prepare_database
from retrieval.database.store import Store, open_store
from retrieval.domain import AnswerFinished
from retrieval.errors import EmbedderUnavailable, IndexMismatch, PinciteError
from retrieval.flights import Flights
from retrieval.generation.gateway import LlmGateway
from retrieval.generation.llm import Llm
from retrieval.models.loading import load_embedder
from retrieval.models.protocols import Embedder, Reranker
from retrieval.search.shadowing import ShadowSearches, shadow_searches
from retrieval.serving import Closable, LoadEmbedder, Missing, Models, Serving
from retrieval.settings import Settings
from retrieval.spending.books import LedgerBooks
from retrieval.spending.ledger import Ledger
from retrieval.spending.prices import load_prices
from retrieval.stopping import stopped
from retrieval.telemetry import Telemetry, telemetry_of

Model = TypeVar("Model")

_SETTLED_WITHIN = 60.0
"""Seconds after an answer's deadline by which its calls are settled, unless their process died."""
_LOOK = 1.0
"""Seconds between two looks which generation of the index is live."""
_log = structlog.get_logger(__name__)


@dataclass(slots=True, kw_only=True)
class Engine:
    """The parts. `embedder` and `reranker` may be `Missing`; None means that none is configured. `behind` says why the
    index could not be followed where it moved: questions are answered from the generation before."""

    settings: Settings
    store: Store
    embedder: Embedder | Missing
    reranker: Reranker | Missing | None
    llm: Llm | None
    telemetry: Telemetry = field(default_factory=Telemetry)
    shadows: ShadowSearches | None = None
    models: Models | None = None
    behind: str = ""
    admission: Admission = field(init=False, repr=False)
    flights: Flights[AnswerFinished] = field(default_factory=Flights, repr=False)
    _generation: Generation | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        search = self.settings.search
        self.admission = Admission(search.at_once, search.waiting, search.patience)

    async def generation(self) -> Generation | None:
        """The generation of the index that is read; None while nothing has been ingested yet.

        Raises `IndexMismatch` when the embedder is not the one it was built by.
        """
        if self._generation is None:
            live = live_one(await self.store.generations())
            if live is not None:
                serving = await self._serving(live)
                self.move(live, serving.embedder, serving.reranker)
        return self._generation

    async def _serving(self, first: Generation) -> Serving:
        """The models for the first generation that is met: those at hand, unless it was moved to others since."""
        if self.models is None or not first.opening or isinstance(self.embedder, Missing):
            check_embedder(first, self.embedder)
            return Serving(embedder=self.embedder, reranker=self.reranker)
        return await self.models.of(first)

    async def pinned(self) -> "Engine":
        """This engine as it is now: it stays on one generation of the index, wherever this one moves. Raises like
        `generation()`."""
        await self.generation()
        return copy(self)

    async def follow(self) -> None:
        """Goes where the index went, once the model is loaded: until then it answers from where it is.

        Raises `StoreUnavailable`, `EmbedderUnavailable` and `IndexMismatch`.
        """
        found = await self.store.generations()
        live, now = live_one(found), self._generation
        if self.models is None or live is None or now is None or live.generation_id == now.generation_id:
            return
        serving = await self.models.of(live)
        self.move(live, serving.embedder, serving.reranker)
        _log.info("generation_changed", generation=live.generation_id, embedder=live.embedder)
        await self.models.keep({each.embedder for each in found})

    async def on(self, generation: Generation) -> "Engine":
        """An engine like this one that reads another generation, which need not be live.

        Raises `EmbedderUnavailable` and `IndexMismatch`.
        """
        assert self.models is not None
        serving, other = await self.models.of(generation), copy(self)
        other.move(generation, serving.embedder, serving.reranker)
        return other

    def move(self, generation: Generation, embedder: Embedder | Missing, reranker: Reranker | Missing | None) -> None:
        """From here on, questions are answered from this generation, with its models."""
        self.embedder, self.reranker = embedder, reranker
        self.store = self.store.on(generation.generation_id)
        self._generation = generation


def check_embedder(generation: Generation, embedder: Embedder | Missing) -> None:
    """Raises `IndexMismatch` unless this embedder's vectors may be compared with the stored ones."""
    if isinstance(embedder, Missing) or embedder.name == generation.embedder:
        return
    raise IndexMismatch(
        f"the index was built by {generation.embedder} ({generation.dimensions} dimensions), the configured embedder is"
        f" {embedder.name}: set PINCITE_EMBEDDER_MODEL back, or build the index anew with 'pincite reembed'"
    )


@asynccontextmanager
async def open_engine(
    settings: Settings,
    *,
    embedder: Embedder | None = None,
    reranker: Reranker | None = None,
    telemetry: Telemetry | None = None,
    load: LoadEmbedder | None = None,
) -> AsyncIterator[Engine]:
    """Opens the parts, checks that index and models belong together, follows where the index moves, closes in reverse.

    Models that are given are used instead of the configured ones, and left open: they are the giver's. `load` opens
    the others; unset: as they are configured. A model that does not load leaves the engine running without it,
    declared. Raises `StoreUnavailable`, `StoreUnsupported` and `IndexMismatch`.
    """
    dsn = await asyncio.to_thread(prepare_database, settings)
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(open_store(dsn, settings.database))
        models = Models(settings, load or partial(load_embedder, breaker=settings.breaker), embedder, reranker)
        stack.push_async_callback(models.close)
        used = await models.first(live_one(await store.generations()))
        telemetry = telemetry or telemetry_of(settings.telemetry)
        llm = await _opened(stack, partial(load_llm, store, telemetry), settings)
        engine = Engine(
            settings=settings,
            store=store,
            embedder=used.embedder,
            reranker=used.reranker,
            llm=llm,
            telemetry=telemetry,
            models=models,
            shadows=await stack.enter_async_context(shadow_searches(dsn, settings, telemetry)),
        )
        await engine.generation()
        await stack.enter_async_context(_following(engine))
        yield engine


@asynccontextmanager
async def _following(engine: Engine) -> AsyncIterator[None]:
    """While it lasts, the engine follows where the index moves."""
    following = asyncio.create_task(_follow(engine))
    try:
        yield
    finally:
        await stopped(following)


async def _follow(engine: Engine) -> None:
    while True:
        await asyncio.sleep(_LOOK)
        try:
            await engine.follow()
            engine.behind = ""
        except (EmbedderUnavailable, IndexMismatch) as error:
            engine.behind = str(error)
            _log.warning("generation_not_followed", reason=str(error))
        except PinciteError as error:
            _log.warning("generation_not_followed", reason=str(error))
        except Exception:  # noqa: BLE001 - whatever it is, the next look may go well
            _log.exception("generation_not_followed")


async def _opened(stack: AsyncExitStack, load: Callable[[Settings], Model], settings: Settings) -> Model:
    """The loaded model, closed when the engine is."""
    model = await asyncio.to_thread(load, settings)
    if isinstance(model, Closable):
        stack.push_async_callback(model.close)
    return model


def load_llm(store: Store, telemetry: Telemetry, settings: Settings) -> Llm | None:
    """The configured language model, its calls booked in the store; None where none is configured."""
    if not settings.llm.servers:
        return None
    prices = load_prices(settings.spending.prices)
    if unpriced := [server.name for server in settings.llm.servers if prices.of(server) is None]:
        _log.warning("llm_unpriced", endpoints=unpriced, reason="no price is known: a budget in USD does not hold them")
    books = LedgerBooks(Ledger(store, settings.llm.deadline + _SETTLED_WITHIN))
    return LlmGateway(settings.llm, settings.breaker, books, prices, telemetry)
