"""The model that documents are embedded by: the one of the generation that is live, wherever the index moves."""

from collections.abc import Callable, Mapping
from threading import Lock

from ingest.indexing import claim_generation, generations
from retrieval.database.generations import Generation, live_one
from retrieval.engine import check_embedder
from retrieval.models.loading import load_embedder
from retrieval.models.protocols import Embedder
from retrieval.serving import LoadEmbedder, opening_settings
from retrieval.settings import EmbedderSettings

Embedding = Callable[[], tuple[Embedder, Generation]]
"""The embedder of the live generation at this moment, and that generation; where there is none yet, it is claimed.
Raises `IndexMismatch`, `EmbedderUnavailable` and `StoreUnavailable`."""
Opening = Callable[[Generation | None], Embedder]
"""Gives a generation's embedder: opens it, unless it is open; None: as it is configured."""


def embedding(dsn: str, opening: Opening) -> Embedding:
    """Looked up whenever it is asked for."""

    def look() -> tuple[Embedder, Generation]:
        live = live_one(generations(dsn))
        embedder = opening(live)
        if live is None:
            return embedder, claim_generation(dsn, embedder)
        check_embedder(live, embedder)
        return embedder, live

    return look


class Configured:
    """Opens embedders as they are recorded, or else configured; the one asked for last stays open."""

    def __init__(self, settings: EmbedderSettings, load: LoadEmbedder = load_embedder) -> None:
        self._settings = settings
        self._load = load
        self._held: Embedder | None = None
        self._opening: Mapping[str, object] = {}
        self._lock = Lock()

    def __call__(self, generation: Generation | None) -> Embedder:
        """As `Opening` promises. Threads that ask at the same time get the same one."""
        with self._lock:
            if self._held is None or (generation is not None and self._is_other(self._held, generation)):
                self._held = self._load(opening_settings(self._settings, generation))
                self._opening = generation.opening if generation else {}
            return self._held

    def _is_other(self, held: Embedder, generation: Generation) -> bool:
        """Another model, or the same one opened in another way: its chunks may be longer."""
        return held.name != generation.embedder or generation.opening not in (self._opening, {})


def live_embedder(dsn: str, opening: Opening) -> Embedder:
    """The live generation's embedder; as it is configured, where nothing was ingested yet. Raises
    `EmbedderUnavailable` and `StoreUnavailable`."""
    return opening(live_one(generations(dsn)))
