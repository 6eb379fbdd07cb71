"""The models that answer: for each generation of the index the embedder it was made by, and a reranker that fits."""

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import structlog

from retrieval.database.generations import Generation
from retrieval.errors import EmbedderUnavailable, IndexMismatch, RerankerUnavailable
from retrieval.models.loading import load_reranker
from retrieval.models.protocols import Embedder, Reranker
from retrieval.settings import EmbedderSettings, Settings

LoadEmbedder = Callable[[EmbedderSettings], Embedder]

_RECORDED = {"provider", "model", "backend", "base_url", "max_tokens", "tokenizer"}
_CUTTING = ("max_tokens", "tokenizer")
_log = structlog.get_logger(__name__)


@runtime_checkable
class Closable(Protocol):
    """What holds threads or connections until it is closed."""

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """A part that is configured but could not be loaded, and why: the service runs on without it."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """The models of a generation."""

    embedder: Embedder | Missing
    reranker: Reranker | Missing | None


def opening_of(settings: EmbedderSettings) -> dict[str, object]:
    """What is recorded of how an embedder is opened: nothing secret."""
    return settings.model_dump(mode="json", include=_RECORDED)


def opening_settings(settings: EmbedderSettings, generation: Generation | None) -> EmbedderSettings:
    """How the generation's embedder is opened: as it was when the generation was built, with the configured key and
    limits. Where that is the configured model, only how it measures chunks is the record's: they were cut by that.
    """
    if generation is None or not generation.opening:
        return settings
    recorded = settings.model_copy(update=dict(generation.opening))
    if (recorded.provider, recorded.model) != (settings.provider, settings.model):
        _log.warning("embedder_setting_unused", setting="model", configured=settings.model, used=recorded.model)
        return recorded
    cutting = {name: getattr(recorded, name) for name in _CUTTING}
    for name, used in cutting.items():
        if (configured := getattr(settings, name)) != used:
            _log.warning("embedder_setting_unused", setting=name, configured=configured, used=used)
    return settings.model_copy(update=cutting)


class Models:
    """Opens models once and holds them: those of the generation before too, so that going back is quick.

    Models that are given are used instead of the configured ones where they fit, and left open: they are the giver's.
    """

    def __init__(
        self, settings: Settings, load: LoadEmbedder, embedder: Embedder | None, reranker: Reranker | None
    ) -> None:
        self._settings = settings
        self._load = load
        self._given = embedder
        self._given_reranker = reranker
        self._held: dict[str, Serving] = {}
        self._opening = asyncio.Lock()
        self._shared: Reranker | Missing | None = None

    async def first(self, live: Generation | None) -> Serving:
        """What an engine starts with; a model that does not load is `Missing`."""
        try:
            embedder = self._given or await self._opened(opening_settings(self._settings.embedder, live))
        except EmbedderUnavailable as error:
            _log.warning("embedder_unavailable", reason=str(error))
            missing = Missing(reason=str(error))
            return Serving(embedder=missing, reranker=await self._reranker(missing))
        return await self._hold(embedder)

    async def of(self, generation: Generation) -> Serving:
        """The generation's models.

        Raises `EmbedderUnavailable`, and `IndexMismatch` where what opens as it is recorded is another model.
        """
        async with self._opening:
            if (held := self._held.get(generation.embedder)) is not None:
                return held
            embedder = await self._opened(opening_settings(self._settings.embedder, generation))
            if embedder.name != generation.embedder:
                await embedder.close()
                opens = f"what opens as such is {embedder.name}"
                raise IndexMismatch(f"the index was built by {generation.embedder}, {opens}")
            return await self._hold(embedder)

    async def keep(self, names: Collection[str]) -> None:
        """Closes the models of embedders with other names."""
        for name in self._held.keys() - names:
            await self._close(self._held.pop(name))

    async def close(self) -> None:
        """Lets go of everything that was not given."""
        await self.keep(())
        if self._shared is not self._given_reranker and isinstance(self._shared, Closable):
            await self._shared.close()

    async def _opened(self, settings: EmbedderSettings) -> Embedder:
        return await asyncio.to_thread(self._load, settings)

    async def _hold(self, embedder: Embedder) -> Serving:
        serving = Serving(embedder=embedder, reranker=await self._reranker(embedder))
        self._held[embedder.name] = serving
        return serving

    async def _reranker(self, embedder: Embedder | Missing) -> Reranker | Missing | None:
        """Late interaction reads the embedder's own token vectors; any other reranker is shared by all generations."""
        if self._given_reranker is not None:
            return self._given_reranker
        if self._shared is not None:
            return self._shared
        try:
            settings = self._settings
            found = await asyncio.to_thread(load_reranker, settings.reranker, embedder, settings.breaker)
        except RerankerUnavailable as error:
            _log.warning("reranker_unavailable", reason=str(error))
            return Missing(reason=str(error))
        if self._settings.reranker.kind != "late-interaction":
            self._shared = found
        return found

    async def _close(self, serving: Serving) -> None:
        if serving.embedder is not self._given and isinstance(serving.embedder, Closable):
            await serving.embedder.close()
