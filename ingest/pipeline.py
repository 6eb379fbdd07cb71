"""The ingest path: from files to an index. Reads from top to bottom.

select → read → skip if unchanged → parse → cut → embed → store → prune → index

One transaction per document: killed at any moment, a run loses and doubles nothing, and the next one carries on.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from ingest.chunking import cut
from ingest.domain import Chunk, Failure, IngestReport
from ingest.examining import Parsed, Unchanged, examine
from ingest.sources import Selection
from ingest.store import KnownDocument, TenantWriter, add_tenant, build_vector_index, claim_profile, open_writer
from retrieval.access import TenantId
from retrieval.errors import UnreadableDocument
from retrieval.models.protocols import Embedder, Vectors
from retrieval.settings import IngestSettings

PARSING_AND_CUTTING = 1
"""Raise it when parsing or cutting changes what is stored: every document is then made anew."""
_BATCH_CHUNKS = 256
"""Chunks embedded together: enough to sort by length, few enough to hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """How to ingest. `on_document` is told each document's outcome and chunks, for progress."""

    dsn: str
    tenant: TenantId
    embedder: Embedder
    settings: IngestSettings
    workers: int = 1
    prune: bool = False
    dry_run: bool = False
    on_document: Callable[[str, int], None] = lambda _outcome, _chunks: None


@dataclass(frozen=True, slots=True, kw_only=True)
class _CutDocument:
    parsed: Parsed
    chunks: tuple[Chunk, ...]


@dataclass(slots=True)
class _Outcomes:
    """Collects what happened, document by document."""

    run: Run
    indexed: list[str] = field(default_factory=list)
    updated: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    chunks: int = 0

    def note(self, outcome: str, uri: str, chunks: int = 0) -> None:
        getattr(self, outcome).append(uri)
        self.chunks += chunks
        self.run.on_document(outcome, chunks)

    def fail(self, failure: Failure) -> None:
        self.failures.append(failure)
        self.run.on_document("failures", 0)


def ingest(run: Run, selection: Selection) -> IngestReport:
    """Makes the index say what the files say. One bad document is a `Failure` in the report, not the end.

    Raises `IndexMismatch`, `StoreUnavailable` and `EmbedderUnavailable`; documents already stored stay stored.
    """
    begun = time.monotonic()
    outcomes = _Outcomes(run)
    profile = None
    if not run.dry_run:
        profile = claim_profile(run.dsn, run.embedder)
        add_tenant(run.dsn, run.tenant)
    # Two connections: one thread stores a batch while this one re-permissions what is otherwise unchanged.
    with open_writer(run.dsn, run.tenant) as writer, open_writer(run.dsn, run.tenant) as editor:
        known = editor.known_documents()
        for failure in selection.failures:
            outcomes.fail(failure)
        examined = _describe(run, editor, known, _examine(run, selection, known), outcomes)
        _store(run, writer, _cut(run, examined, outcomes), outcomes)
        if run.prune:
            _prune(run, writer, selection.gone(known), outcomes)
    if profile is not None:
        build_vector_index(run.dsn, profile)
    return IngestReport(
        indexed=tuple(outcomes.indexed),
        updated=tuple(outcomes.updated),
        unchanged=tuple(outcomes.unchanged),
        removed=tuple(outcomes.removed),
        failures=tuple(outcomes.failures),
        chunks=outcomes.chunks,
        seconds=time.monotonic() - begun,
    )


def _examine(run: Run, selection: Selection, known: dict[str, KnownDocument]) -> Iterator[Unchanged | Parsed | Failure]:
    """Reads and parses, in other processes."""

    def fingerprint(uri: str) -> bytes | None:
        return known[uri].fingerprint if uri in known else None

    recipe = f"{PARSING_AND_CUTTING}|{run.embedder.name}|{run.embedder.max_tokens}|{run.settings.overlap_tokens}"
    return examine(selection.sources, fingerprint, recipe, run.settings, run.workers)


def _describe(
    run: Run,
    editor: TenantWriter,
    known: dict[str, KnownDocument],
    examined: Iterable[Unchanged | Parsed | Failure],
    outcomes: _Outcomes,
) -> Iterator[Parsed]:
    """Settles what needs no embedding; yields the rest."""
    for found in examined:
        match found:
            case Failure():
                outcomes.fail(found)
            case Parsed():
                yield found
            case Unchanged(source=source) if known[source.uri].described_as(source):
                outcomes.note("unchanged", source.uri)
            case Unchanged(source=source):
                if not run.dry_run:
                    editor.describe(source)
                outcomes.note("updated", source.uri)


def _cut(run: Run, documents: Iterable[Parsed], outcomes: _Outcomes) -> Iterator[_CutDocument]:
    """Cuts each document into chunks that the embedder takes whole."""
    for parsed in documents:
        chunks = cut(parsed.document, run.embedder.count_tokens, run.embedder.max_tokens, run.settings.overlap_tokens)
        if chunks:
            yield _CutDocument(parsed=parsed, chunks=tuple(chunks))
        else:
            outcomes.fail(Failure(uri=parsed.source.uri, reason="empty", message="there is no text in it"))


def _store(run: Run, writer: TenantWriter, documents: Iterable[_CutDocument], outcomes: _Outcomes) -> None:
    """Embeds batch by batch, while a thread stores the batch before."""
    with ThreadPoolExecutor(1, thread_name_prefix="writer") as thread:
        storing: Future[None] | None = None
        for batch in _batches(documents):
            vectors = None if run.dry_run else _embed(run.embedder, batch)
            if storing is not None:
                storing.result()
            storing = thread.submit(_store_batch, writer, batch, vectors, outcomes)
        if storing is not None:
            storing.result()


def _batches(documents: Iterable[_CutDocument]) -> Iterator[list[_CutDocument]]:
    batch: list[_CutDocument] = []
    size = 0
    for document in documents:
        batch.append(document)
        size += len(document.chunks)
        if size >= _BATCH_CHUNKS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _embed(embedder: Embedder, batch: Sequence[_CutDocument]) -> list[Vectors]:
    """One matrix per document, from one model call."""
    texts = [f"{chunk.context}\n{chunk.text}" for document in batch for chunk in document.chunks]
    ends = np.cumsum([len(document.chunks) for document in batch])
    return np.split(embedder.embed_documents(texts), ends[:-1])


def _store_batch(
    writer: TenantWriter, batch: Sequence[_CutDocument], vectors: Sequence[Vectors] | None, outcomes: _Outcomes
) -> None:
    for at, document in enumerate(batch):
        source = document.parsed.source
        try:
            if vectors is not None:
                writer.replace(document.parsed, document.chunks, vectors[at])
        except UnreadableDocument as error:
            outcomes.fail(Failure(uri=source.uri, reason=error.reason, message=str(error)))
        else:
            outcomes.note("indexed", source.uri, len(document.chunks))


def _prune(run: Run, writer: TenantWriter, gone: Iterable[str], outcomes: _Outcomes) -> None:
    """Removes what is no longer at the source."""
    for uri in gone:
        if not run.dry_run:
            writer.remove(uri)
        outcomes.note("removed", uri)
