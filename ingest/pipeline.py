"""The ingest path: from files to an index. Reads from top to bottom.

select → revoke → read → skip if unchanged → parse → cut → situate → embed → store → describe → prune → index

A few documents per transaction: killed at any moment, a run loses and doubles nothing, and the next one carries on.
"""

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from threading import Event

import numpy as np
import structlog

from ingest.chunking import cut
from ingest.deleting.documents import delete_gone
from ingest.deleting.receipts import Deletion
from ingest.domain import Chunk, Failure, IngestReport, SourceFile
from ingest.examining import Parsed, Parsers, Unchanged, examine, open_parsers
from ingest.indexing import build_vector_index, check_index, claim_generation, tidy
from ingest.recipes import PARSING, cut_recipe
from ingest.situating.situator import Silent, Situator
from ingest.sources import Selection
from ingest.store import EmbeddedDocument, KnownDocument, TenantWriter, add_tenant, document_id_of, open_writer
from retrieval.access import NOBODY, TenantId
from retrieval.database.generations import FIRST, Generation
from retrieval.errors import StoreUnavailable, UnreadableDocument
from retrieval.models.protocols import Embedder
from retrieval.settings import IngestSettings

_log = structlog.get_logger(__name__)

Put = Callable[[Sequence[EmbeddedDocument]], None]

_LOAD = 1000
"""A run that stored so many chunks leaves the planner's statistics behind."""
_BATCH_CHUNKS = 256
"""Chunks embedded and stored together: enough to sort by length, few enough to hold."""
_FIRST_BATCH_CHUNKS = 32
"""The first batch; each after it is twice as large: the model need not wait until many files are parsed and cut."""
_TOGETHER = 500
"""Documents whose permissions are taken away in one transaction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """How to ingest. `on_document` is told each document's outcome and chunks, for progress; `parsers` are borrowed:
    without any, `workers` processes of the run's own parse. `new_tenant`: make the tenant, where there is none."""

    dsn: str
    tenant: TenantId
    embedder: Embedder
    settings: IngestSettings
    situator: Situator = field(default_factory=Silent)
    workers: int = 1
    parsers: Parsers | None = None
    prune: bool = False
    dry_run: bool = False
    new_tenant: bool = True
    on_document: Callable[[str, int], None] = lambda _outcome, _chunks: None


@dataclass(frozen=True, slots=True, kw_only=True)
class CutDocument:
    parsed: Parsed
    chunks: tuple[Chunk, ...]
    written: Mapping[bytes, str] = field(default_factory=dict)


@dataclass(slots=True)
class Outcomes:
    """Collects what happened, document by document, until `ended` is set."""

    run: Run
    indexed: list[str] = field(default_factory=list)
    updated: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    described: set[str] = field(default_factory=set)
    same_text: list[SourceFile] = field(default_factory=list)
    chunks: int = 0
    without_context: int = 0
    ended: Event = field(default_factory=Event)

    def note(self, outcome: str, uri: str, chunks: int = 0) -> None:
        getattr(self, outcome).append(uri)
        self.chunks += chunks
        self.run.on_document(outcome, chunks)

    def fail(self, failure: Failure) -> None:
        self.failures.append(failure)
        self.run.on_document("failures", 0)


def ingest(run: Run, selection: Selection) -> IngestReport:
    """Makes the index say what the files say. One bad document is a `Failure` in the report, not the end.

    Raises `IndexMismatch`, `GenerationChanged`, `StoreUnavailable` and `EmbedderUnavailable`; documents already stored
    stay stored. Raises `InputError`, before anything is stored, where it would prune a folder without one document.
    """
    begun = time.monotonic()
    outcomes = Outcomes(run)
    with open_writer(run.dsn, run.tenant) as writer:
        known = writer.known_documents()
        gone = selection.gone(known) if run.prune else []
        _revoke(run, writer, known, selection.sources, outcomes)
        generation = check_index(run.dsn, run.embedder) if run.dry_run else claim_generation(run.dsn, run.embedder)
        if run.new_tenant and not run.dry_run:
            add_tenant(run.dsn, run.tenant)
        for failure in selection.failures:
            outcomes.fail(failure)
        put = partial(writer.replace, generation_id=generation.generation_id if generation else FIRST)
        with open_parsers(run.workers) if run.parsers is None else nullcontext(run.parsers) as parsers:
            examined = _settle(examine_sources(run, parsers, selection.sources, known), outcomes)
            _store(run, put, situate_chunks(run, cut_documents(run, examined, outcomes), outcomes), outcomes)
        _describe(run, writer, known, outcomes)
        receipt = _prune(run, writer, gone, outcomes)
    if generation is not None and not run.dry_run:
        _index(run, generation, outcomes.chunks)
    return IngestReport(
        indexed=tuple(outcomes.indexed),
        updated=tuple(outcomes.updated),
        unchanged=tuple(outcomes.unchanged),
        removed=tuple(outcomes.removed),
        failures=tuple(outcomes.failures),
        chunks=outcomes.chunks,
        seconds=time.monotonic() - begun,
        without_context=outcomes.without_context,
        receipt=receipt,
    )


def recipe_of(run: Run) -> str:
    """What its documents are cut by."""
    return cut_recipe(run.embedder, run.settings, run.situator.recipe)


def _revoke(
    run: Run,
    writer: TenantWriter,
    known: dict[str, KnownDocument],
    sources: Sequence[SourceFile],
    outcomes: Outcomes,
) -> None:
    """Takes permissions away first: that waits for no parser and no model, and holds if the text then cannot be read.

    Nobody is let in here: who may see the new text was not meant to see the old one. A document that another run
    removed meanwhile counts as new.
    """
    narrowed: list[SourceFile] = []
    for source in sources:
        before = known.get(source.uri)
        if before is None or source.acl >= frozenset(before.acl):
            continue
        kept = source.acl & frozenset(before.acl) or frozenset({NOBODY})
        narrowed.append(replace(source, acl=kept, metadata=before.metadata))
        if before.described_as(replace(source, acl=frozenset(before.acl))) and kept == source.acl:
            outcomes.described.add(source.uri)
    for at in range(0, len(narrowed), _TOGETHER):
        some = narrowed[at : at + _TOGETHER]
        there = frozenset(source.uri for source in some) if run.dry_run else writer.describe(some)
        for source in some:
            if source.uri not in there:
                del known[source.uri]
                outcomes.described.discard(source.uri)


def _describe(run: Run, writer: TenantWriter, known: dict[str, KnownDocument], outcomes: Outcomes) -> None:
    """New permissions and metadata for documents whose text is the stored one: nothing is embedded again."""
    for source in outcomes.same_text:
        if source.uri not in outcomes.described:
            if known[source.uri].described_as(source):
                outcomes.note("unchanged", source.uri)
                continue
            try:
                if not run.dry_run and not writer.describe([source]):
                    outcomes.fail(Failure(uri=source.uri, reason="removed_meanwhile", message="by another run"))
                    continue
            except UnreadableDocument as error:
                outcomes.fail(Failure(uri=source.uri, reason=error.reason, message=str(error)))
                continue
        outcomes.note("updated", source.uri)


def examine_sources(
    run: Run, parsers: Parsers, sources: Sequence[SourceFile], known: dict[str, KnownDocument]
) -> Iterator[Unchanged | Parsed | Failure]:
    """Reads and parses, in other processes."""
    recipe = recipe_of(run)

    def fingerprint(uri: str) -> bytes | None:
        return known[uri].fingerprint if uri in known and known[uri].recipe == recipe else None

    return examine(parsers, sources, fingerprint, str(PARSING), run.settings)


def _settle(examined: Iterable[Unchanged | Parsed | Failure], outcomes: Outcomes) -> Iterator[Parsed]:
    """Notes what needs no embedding; yields the rest."""
    for found in examined:
        if outcomes.ended.is_set():
            return
        match found:
            case Failure():
                outcomes.fail(found)
            case Unchanged(source=source):
                outcomes.same_text.append(source)
            case Parsed():
                yield found


def cut_documents(run: Run, documents: Iterable[Parsed], outcomes: Outcomes) -> Iterator[CutDocument]:
    """Cuts each document into chunks that the embedder takes whole."""
    embedder, most_tokens = run.embedder, run.embedder.max_tokens - run.situator.room
    for parsed in documents:
        try:
            chunks = cut(parsed.document, embedder.count_tokens, most_tokens, run.settings.overlap_tokens)
        except RecursionError:
            outcomes.fail(Failure(uri=parsed.source.uri, reason="too_complex", message="it is nested too deeply"))
            continue
        if chunks:
            yield CutDocument(parsed=parsed, chunks=tuple(chunks))
        else:
            outcomes.fail(Failure(uri=parsed.source.uri, reason="empty", message="there is no text in it"))


def situate_chunks(run: Run, documents: Iterable[CutDocument], outcomes: Outcomes) -> Iterator[CutDocument]:
    """Adds what a language model says of where each chunk stands, where one is asked."""
    for document in documents:
        if run.dry_run:
            yield document
            continue
        parsed = document.parsed
        document_id = document_id_of(run.tenant, parsed.source.uri)
        situated = run.situator.situate(document_id, parsed.document, document.chunks)
        if situated.lacking:
            outcomes.without_context += situated.lacking
            # Not what an unchanged file will have: the next run makes the document anew, and asks for what it lacks.
            parsed = replace(parsed, fingerprint=hashlib.sha256(parsed.fingerprint).digest())
        yield CutDocument(parsed=parsed, chunks=situated.chunks, written=situated.written)


def _store(run: Run, put: Put, documents: Iterable[CutDocument], outcomes: Outcomes) -> None:
    """Embeds batch by batch, while one thread stores the batch before and another cuts the batch after."""
    with ThreadPoolExecutor(1, "writer") as thread, ThreadPoolExecutor(1, "cutter") as cutter:
        storing: Future[None] | None = None
        try:
            for batch in _ahead(_batches(documents), cutter):
                if run.dry_run:
                    for document in batch:
                        outcomes.note("indexed", document.parsed.source.uri, len(document.chunks))
                    continue
                embedded = embed_documents(run, batch, outcomes)
                if storing is not None:
                    storing.result()
                storing = thread.submit(_store_batch, put, embedded, outcomes)
            if storing is not None:
                storing.result()
        finally:
            # After an error the cutter would go on looking for another batch, perhaps to the end of the files.
            outcomes.ended.set()


def _ahead(batches: Iterator[list[CutDocument]], cutter: ThreadPoolExecutor) -> Iterator[list[CutDocument]]:
    """The batches; while one is in use, the next is being made."""
    coming = cutter.submit(next, batches, None)
    while (batch := coming.result()) is not None:
        coming = cutter.submit(next, batches, None)
        yield batch


def _batches(documents: Iterable[CutDocument]) -> Iterator[list[CutDocument]]:
    batch: list[CutDocument] = []
    size, wanted = 0, min(_FIRST_BATCH_CHUNKS, _BATCH_CHUNKS)
    for document in documents:
        batch.append(document)
        size += len(document.chunks)
        if size >= wanted:
            yield batch
            batch, size, wanted = [], 0, min(2 * wanted, _BATCH_CHUNKS)
    if batch:
        yield batch


def embed_documents(run: Run, batch: Sequence[CutDocument], outcomes: Outcomes) -> list[EmbeddedDocument]:
    """A matrix for each document, from one model call; a text the model refuses costs its own document only."""
    texts = [f"{chunk.context}\n{chunk.text}" for document in batch for chunk in document.chunks]
    ends = np.cumsum([len(document.chunks) for document in batch])
    try:
        matrices = np.split(run.embedder.embed_documents(texts), ends[:-1])
    except UnreadableDocument as error:
        if len(batch) > 1:
            return [embedded for document in batch for embedded in embed_documents(run, [document], outcomes)]
        outcomes.fail(Failure(uri=batch[0].parsed.source.uri, reason=error.reason, message=str(error)))
        return []
    recipe = recipe_of(run)
    return [
        EmbeddedDocument(
            parsed=document.parsed,
            chunks=document.chunks,
            recipe=recipe,
            vectors=vectors,
            written=document.written,
        )
        for document, vectors in zip(batch, matrices, strict=True)
    ]


def _store_batch(put: Put, batch: Sequence[EmbeddedDocument], outcomes: Outcomes) -> None:
    """All in one transaction; a document that the database refuses costs itself only."""
    if not batch:
        return
    try:
        put(batch)
    except UnreadableDocument as error:
        if len(batch) > 1:
            for made in batch:
                _store_batch(put, [made], outcomes)
        else:
            outcomes.fail(Failure(uri=batch[0].parsed.source.uri, reason=error.reason, message=str(error)))
        return
    for made in batch:
        outcomes.note("indexed", made.parsed.source.uri, len(made.chunks))


def _prune(run: Run, writer: TenantWriter, gone: Sequence[str], outcomes: Outcomes) -> str | None:
    """Removes what is no longer at the source; the id of the receipt."""
    receipt = None
    if gone and not run.dry_run:
        deletion = Deletion(dsn=run.dsn, tenant=run.tenant, asked_by="prune", asked_at=datetime.now(UTC))
        receipt = delete_gone(deletion, writer, gone)
    for uri in gone:
        outcomes.note("removed", uri)
    return None if receipt is None else str(receipt.receipt_id)


def _index(run: Run, generation: Generation, chunks: int) -> None:
    """Builds the tenant's vector index where one is due. Without it searches are exact, only slower: no failure."""
    try:
        build_vector_index(run.dsn, run.tenant, generation, run.settings.index_from)
        if chunks >= _LOAD:
            tidy(run.dsn, generation.generation_id)
    except StoreUnavailable as error:
        _log.warning("vector_index_not_built", reason=str(error))
