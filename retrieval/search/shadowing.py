"""A sampled fraction of the walked searches is done again exactly, in the background: is the index as good as we say?

On a connection of its own, one at a time, a few waiting, more are dropped: no request waits for it or fails by it.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog

from retrieval.access import Caller
from retrieval.database.generations import NONE
from retrieval.database.store import Store, open_store
from retrieval.domain import DensePath
from retrieval.errors import GenerationChanged, StoreUnavailable
from retrieval.models.protocols import Vectors
from retrieval.search.legs import DenseFindings, Hit, nearest_exactly
from retrieval.search.narrowing import Narrowing
from retrieval.settings import Settings
from retrieval.stopping import stopped
from retrieval.telemetry import Telemetry

RECALL_AT = 10
_MOST_WAITING = 4
_TIMEOUT = 5.0
"""Seconds an exact search may take: comparing some millions of chunks."""
_TIE = 1e-6
"""Both scores are Postgres' own, of the same stored vectors."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Drawn:
    """A search to be done again: whose, and its best hits."""

    caller: Caller
    embedding: Vectors
    narrowing: Narrowing
    path: DensePath
    hits: tuple[Hit, ...]
    generation_id: int


class ShadowSearches:
    """Does searches again while `work()` runs. Get them from `shadow_searches()`."""

    def __init__(self, store: Store, rate: float, telemetry: Telemetry) -> None:
        self._store = store
        self._rate = rate
        self._telemetry = telemetry
        self._waiting: asyncio.Queue[_Drawn] = asyncio.Queue(_MOST_WAITING)

    def offer(
        self,
        caller: Caller,
        embedding: Vectors,
        found: DenseFindings,
        narrowing: Narrowing,
        generation_id: int = NONE,
    ) -> None:
        """Draws lots whether this search is done again, if its result came from an index. Never waits or raises."""
        if found.plan.path is not DensePath.INDEX or random.random() >= self._rate:  # noqa: S311 - a sample, no secret
            return
        hits = found.hits[:RECALL_AT]
        drawn = _Drawn(
            caller=caller,
            embedding=embedding,
            narrowing=narrowing,
            path=found.plan.path,
            hits=hits,
            generation_id=generation_id,
        )
        try:
            self._waiting.put_nowait(drawn)
        except asyncio.QueueFull:
            self._telemetry.shadow_dropped()

    async def work(self) -> None:
        """Takes one search after the other until it is cancelled, which also ends the one under way."""
        while True:
            drawn = await self._waiting.get()
            try:
                exact = await self._exactly(drawn)
                self._telemetry.shadow_compared(drawn.path, recall(drawn.hits, exact))
            except (StoreUnavailable, GenerationChanged):
                self._telemetry.shadow_failed()
            except Exception:  # noqa: BLE001 - whatever it is, no search was ever worth less than this loop
                _log.exception("shadow_search_failed")
                self._telemetry.shadow_failed()
            finally:
                self._waiting.task_done()

    async def _exactly(self, drawn: _Drawn) -> tuple[Hit, ...]:
        store = self._store.on(drawn.generation_id)
        return await nearest_exactly(store, drawn.caller, drawn.embedding, len(drawn.hits), drawn.narrowing)


def recall(found: Sequence[Hit], exact: Sequence[Hit]) -> float:
    """The share of the exact hits that were found; one as near as the last of them is as good."""
    if not exact:
        return 1.0
    keys, least = {hit.key for hit in exact}, exact[-1].score
    return sum(hit.key in keys or abs(hit.score - least) <= _TIE for hit in found) / len(exact)


@asynccontextmanager
async def shadow_searches(dsn: str, settings: Settings, telemetry: Telemetry) -> AsyncIterator[ShadowSearches]:
    """Shadow searches for as long as the block runs; their one connection is made when the first is drawn."""
    own = settings.database.model_copy(update={"database_pool_size": 1, "database_timeout": _TIMEOUT})
    async with open_store(dsn, own, idle=0) as store:
        shadows = ShadowSearches(store, settings.search.shadow_rate, telemetry)
        working = asyncio.create_task(shadows.work())
        try:
            yield shadows
        finally:
            await stopped(working)
