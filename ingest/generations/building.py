"""Builds a generation beside the live one: every document that it does not hold as it is, cut and embedded anew.

Small transactions, a tenant at a time: killed at any moment, it loses nothing, and the next run carries on.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import structlog
from pgvector.psycopg import register_vector

from ingest.chunking import cut
from ingest.cuts import Cut
from ingest.domain import Chunk
from ingest.generations.placing import GenerationWriter, KeptDocument, tenants
from ingest.indexing import build_vector_index, tidy
from ingest.recipes import cut_recipe
from ingest.situating.remembering import KeptWords, Known
from ingest.transactions import connected
from retrieval.access import TenantId
from retrieval.database.errors import store_errors
from retrieval.database.generations import Generation
from retrieval.errors import EmbedderUnavailable, TenantLeaving, UnreadableDocument
from retrieval.models.protocols import Embedder, Vectors
from retrieval.settings import IngestSettings

_BATCH_CHUNKS = 256
_PATIENCE = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 60.0)
"""Seconds between tries while the embedder gives way; then the run ends, and the next one carries on."""
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuild:
    """What to build and how fast: at most `rate` chunks a second. `on_batch` is told documents and chunks.

    `words`: what was once written of where chunks stand, put before those that it still fits; no model is asked.
    """

    dsn: str
    generation: Generation
    embedder: Embedder
    settings: IngestSettings
    words: KeptWords | None = None
    rate: float = float("inf")
    on_batch: Callable[[int, int], None] = lambda _documents, _chunks: None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Made:
    """A document's chunks, or the reason there are none, and the recipe they were made by."""

    kept: KeptDocument
    chunks: tuple[Chunk, ...]
    recipe: str
    problem: str = ""


def build(rebuild: Rebuild) -> int:
    """Makes the generation hold every document as it was at some moment; how many were made. Each has its vector
    indexes afterwards.

    Raises `StoreUnavailable`, `EmbedderUnavailable`, and `GenerationChanged` where the generation was dropped.
    """
    made = 0
    with connected(rebuild.dsn) as connection:
        with store_errors():
            register_vector(connection)
        for tenant in tenants(connection):
            with suppress(TenantLeaving):
                made += _build_tenant(rebuild, GenerationWriter(connection, tenant, rebuild.generation))
    for tenant in _tenants_of(rebuild.dsn):
        build_vector_index(rebuild.dsn, tenant, rebuild.generation, rebuild.settings.index_from)
    if made:
        tidy(rebuild.dsn, rebuild.generation.generation_id)
    return made


def forget_outdated(rebuild: Rebuild) -> None:
    """What was cut by another recipe than the one to build by, or could not be, counts as not yet cut."""
    recipes = sorted({_recipe(rebuild), _recipe(replace(rebuild, words=None))})
    with connected(rebuild.dsn) as connection:
        for tenant in tenants(connection):
            with suppress(TenantLeaving):
                GenerationWriter(connection, tenant, rebuild.generation).forget_outdated(recipes)


def _tenants_of(dsn: str) -> list[TenantId]:
    with connected(dsn) as connection:
        return tenants(connection)


def _build_tenant(rebuild: Rebuild, writer: GenerationWriter) -> int:
    made = 0
    for batch in _batches(rebuild, writer):
        begun = time.monotonic()
        cuts = _embedded(rebuild, batch)
        placed, chunks = writer.place(cuts), sum(len(each.chunks) for each in cuts)
        made += placed
        rebuild.on_batch(placed, chunks)
        time.sleep(max(0.0, chunks / rebuild.rate - (time.monotonic() - begun)))
    return made


def _batches(rebuild: Rebuild, writer: GenerationWriter) -> Iterator[list[_Made]]:
    batch: list[_Made] = []
    for document_id in writer.pending():
        if (kept := writer.read(document_id)) is None:
            continue
        batch.append(_cut(rebuild, kept, partial(writer.kept_words, document_id)))
        if sum(len(made.chunks) for made in batch) >= _BATCH_CHUNKS:
            yield batch
            batch = []
    if batch:
        yield batch


def _cut(rebuild: Rebuild, kept: KeptDocument, known: Known) -> _Made:
    embedder, words, recipe = rebuild.embedder, rebuild.words, _recipe(rebuild)
    most_tokens = embedder.max_tokens - (words.room if words else 0)
    try:
        chunks = tuple(cut(kept.document, embedder.count_tokens, most_tokens, rebuild.settings.overlap_tokens))
    except RecursionError:
        return _Made(kept=kept, chunks=(), recipe=recipe, problem="too_complex")
    if words and chunks:
        chunks, lacking = words.put(kept.document, chunks, known)
        if lacking:
            # Not as it would be made: the next ingest of its source makes it anew, and asks for what it lacks.
            recipe = _recipe(replace(rebuild, words=None))
    return _Made(kept=kept, chunks=chunks, recipe=recipe, problem="" if chunks else "empty")


def _recipe(rebuild: Rebuild) -> str:
    return cut_recipe(rebuild.embedder, rebuild.settings, rebuild.words.recipe if rebuild.words else "")


def _embedded(rebuild: Rebuild, batch: Sequence[_Made]) -> list[Cut]:
    """From one model call; a text that the model refuses costs its own document only."""
    texts = [f"{chunk.context}\n{chunk.text}" for made in batch for chunk in made.chunks]
    ends = np.cumsum([len(made.chunks) for made in batch])
    try:
        matrices = np.split(_patiently_embedded(rebuild, texts), ends[:-1])
    except UnreadableDocument as error:
        if len(batch) > 1:
            return [each for made in batch for each in _embedded(rebuild, [made])]
        made = replace(batch[0], chunks=(), problem=error.reason)
        return [_as_cut(made, np.empty((0, rebuild.generation.dimensions), dtype=np.float32))]
    return [_as_cut(made, vectors) for made, vectors in zip(batch, matrices, strict=True)]


def _as_cut(made: _Made, vectors: Vectors) -> Cut:
    return Cut(
        document_id=made.kept.document_id,
        version=made.kept.version,
        language=made.kept.language,
        recipe=made.recipe,
        chunks=made.chunks,
        vectors=vectors,
        problem=made.problem,
    )


def _patiently_embedded(rebuild: Rebuild, texts: Sequence[str]) -> Vectors:
    for pause in _PATIENCE:
        try:
            return rebuild.embedder.embed_documents(texts)
        except EmbedderUnavailable as error:
            _log.warning("embedder_unavailable", reason=str(error), tried_again_in=pause)
            time.sleep(pause)
    return rebuild.embedder.embed_documents(texts)
