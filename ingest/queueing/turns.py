"""The worker's path: one tenant's turn. Reads from top to bottom.

claim → fetch → narrow → examine → cut → situate → embed → settle, batch by batch until the turn's time is up

What a claim holds is settled in the transaction that stores it. Killed at any moment, a turn loses nothing and doubles
nothing: what it held is given to another claim, and its own settles nothing any more.
"""

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath
from threading import BoundedSemaphore, Event
from uuid import UUID, uuid4

import structlog

from ingest.domain import Failure, SourceFile
from ingest.embedding import Embedding
from ingest.examining import Parsed, Parsers, Unchanged
from ingest.indexing import build_vector_index
from ingest.pipeline import Outcomes, Run, cut_documents, embed_documents, examine_sources, situate_chunks
from ingest.queueing.fetching import MOST_ATTEMPTS, FetchedFile, fetch, pause
from ingest.queueing.line import Line, open_line
from ingest.queueing.pace import Pace
from ingest.queueing.records import ClaimedRevision, Depth, SettledRevision, Settlement
from ingest.queueing.resting import Rest
from ingest.situating.situator import Situating, nobody_situates
from ingest.store import EmbeddedDocument, KnownDocument
from retrieval.access import NOBODY, TenantId
from retrieval.database.generations import Generation
from retrieval.errors import (
    EmbedderUnavailable,
    GenerationChanged,
    InputError,
    ParserUnavailable,
    StoreUnavailable,
    UnreadableDocument,
    UrlUnreachable,
)
from retrieval.settings import IngestSettings, OutboundSettings, WorkerSettings

_log = structlog.get_logger(__name__)

_MOST_LOSSES = 3
"""Workers that may be lost with a document before it is taken for the cause."""
_FETCHES_BUSY = 1.0
"""Seconds until a tenant of whom all that waits is to be fetched has its next turn, while others fetch."""
_MOST_NAME_BYTES = 200
"""What every file system takes, with room."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    """What a worker works with. `settled` is told what came to its end, after it did, `measured` how the
    tenants' lines stand; `stopping`: begin nothing new."""

    dsn: str
    embedding: Embedding
    ingest: IngestSettings
    worker: WorkerSettings
    outbound: OutboundSettings
    parsers: Parsers
    settled: Callable[[Sequence[SettledRevision]], None]
    measured: Callable[[Sequence[Depth]], None] = lambda _depths: None
    situating: Situating = nobody_situates
    stopping: Event = field(default_factory=Event)
    rest: Rest = field(default_factory=Rest)
    pace: Pace = field(default_factory=Pace)
    fetches: BoundedSemaphore = field(default_factory=BoundedSemaphore)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Batch:
    """The documents of one claim on their way to a generation of the index; `known` is what is stored of them."""

    claim_id: UUID
    generation_id: int
    revisions: dict[str, ClaimedRevision]
    known: dict[str, KnownDocument]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Taken:
    """How much a turn did so far."""

    batches: int
    chunks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ending:
    """How a document's way ends, and what is written of it: at most one of the two."""

    uri: str
    settlement: Settlement
    described: tuple[SourceFile, ...] = ()
    replaced: tuple[EmbeddedDocument, ...] = ()


def take_turn(workshop: Workshop, tenant: TenantId, turn_id: int) -> None:
    """Works on the tenant's line until it is empty or the turn's time is up, and sees to the tenant's next turn.

    Raises `StoreUnavailable`, and `IndexMismatch` where the index belongs to another embedder.
    """
    with open_line(workshop.dsn, tenant) as line:
        if workshop.rest.left:
            line.wake(_in(workshop.rest.left))
            return
        try:
            embedder, generation = workshop.embedding()
        except EmbedderUnavailable as error:
            # Its documents say why they wait.
            _rest(workshop, line, _claim(workshop, line, turn_id, fetching=True), error)
            return
        with workshop.situating(tenant, embedder) as situator:
            run = Run(dsn=workshop.dsn, tenant=tenant, embedder=embedder, settings=workshop.ingest, situator=situator)
            taken = _take_batches(workshop, line, run, generation.generation_id, turn_id)
        if taken is None:
            return
        waiting = line.waiting()
        if waiting.due:
            line.wake(None if taken.batches else _in(_FETCHES_BUSY))
        elif waiting.next_at is not None:
            line.wake(waiting.next_at)
    if taken.chunks and not waiting.due:
        _index(workshop, tenant, generation)


def _take_batches(workshop: Workshop, line: Line, run: Run, generation_id: int, turn_id: int) -> _Taken | None:
    """What was taken; None where the turn had to end: what it held waits again."""
    until = time.monotonic() + workshop.worker.turn_seconds
    taken = _Taken(batches=0, chunks=0)
    while time.monotonic() < until or not taken.batches:
        begun = time.monotonic()
        with _claimed(workshop, line, turn_id) as revisions:
            if not revisions:
                break
            try:
                chunks = _work(workshop, line, run, generation_id, revisions)
            except (EmbedderUnavailable, ParserUnavailable) as error:
                _rest(workshop, line, revisions, error)
                return None
            except GenerationChanged as error:
                # The next turn looks up which model it is now.
                line.put_back(revisions, datetime.now(UTC), error)
                line.wake()
                return None
        taken = _Taken(batches=taken.batches + 1, chunks=taken.chunks + chunks)
        if size := sum(revision.bytes for revision in revisions):  # what was fetched says how fast its server is
            workshop.pace.worked(size, time.monotonic() - begun)
    return taken


@contextmanager
def _claimed(workshop: Workshop, line: Line, turn_id: int) -> Iterator[list[ClaimedRevision]]:
    """The next documents; the rest of the line is open to other workers meanwhile. One of the worker's turns is kept
    free of fetching: servers that do not answer hold up no other tenant."""
    with ExitStack() as held:
        fetching = workshop.fetches.acquire(blocking=False)
        if fetching:
            held.callback(workshop.fetches.release)
        claimed = _claim(workshop, line, turn_id, fetching=fetching)
        if not any(revision.url for revision in claimed):
            held.close()
        yield claimed


def _claim(workshop: Workshop, line: Line, turn_id: int, *, fetching: bool) -> list[ClaimedRevision]:
    if workshop.stopping.is_set():
        return []
    claimed = line.claim(turn_id, uuid4(), workshop.pace.most_bytes, fetching=fetching)
    if claimed:
        line.wake_if_due()
    return claimed


def _work(workshop: Workshop, line: Line, run: Run, generation_id: int, revisions: Sequence[ClaimedRevision]) -> int:
    """Brings the claimed documents to their ends. How many chunks were made."""
    batch = _Batch(
        claim_id=revisions[0].claim_id,
        generation_id=generation_id,
        revisions={revision.uri: revision for revision in revisions},
        known=line.stored([revision.document_id for revision in revisions]),
    )
    outcomes = Outcomes(run)
    with tempfile.TemporaryDirectory(prefix="pincite-") as folder:
        sources = _fetch(workshop, line, batch, Path(folder), outcomes)
        _narrow(line, batch, sources)
        examined = list(examine_sources(run, workshop.parsers, sources, batch.known))
    outcomes.failures += [found for found in examined if isinstance(found, Failure)]
    same = [found.source for found in examined if isinstance(found, Unchanged)]
    parsed = [found for found in examined if isinstance(found, Parsed)]
    made = list(situate_chunks(run, cut_documents(run, parsed, outcomes), outcomes))
    embedded = embed_documents(run, made, outcomes) if made else []
    if made:
        workshop.rest.end()
    endings = [
        *(_failed(batch, failure) for failure in outcomes.failures),
        *(_described(batch, source) for source in same),
        *(_replaced(batch, made) for made in embedded),
    ]
    workshop.settled(_settle(line, batch, endings))
    return sum(len(made.chunks) for made in embedded)


def _fetch(workshop: Workshop, line: Line, batch: _Batch, folder: Path, outcomes: Outcomes) -> list[SourceFile]:
    """Files with the documents' bytes, in the folder. One that workers were lost with time and again is given up."""
    sources: list[SourceFile] = []
    for number, revision in enumerate(batch.revisions.values()):
        if revision.losses >= _MOST_LOSSES:
            message = f"{revision.losses} workers ended while they had it"
            outcomes.fail(Failure(uri=revision.uri, reason="worker_lost", message=message))
        elif (file := _file(workshop, line, revision, outcomes)) is not None:
            # A folder each: the file's name is part of what its fingerprint is made of.
            path = folder / str(number) / _plain(file.name)
            path.parent.mkdir()
            path.write_bytes(file.content)
            sources.append(_source(revision, path))
    return sources


def _plain(name: str) -> str:
    """The name as a file can have it, whoever gave it; with its extension, which says how to read it."""
    last = PurePosixPath(name.replace("\0", "")).name
    if last in {"", ".."}:
        return "document"
    path = PurePosixPath(last)
    ending = path.suffix.encode()[:_MOST_NAME_BYTES]
    stem = path.stem.encode()[: _MOST_NAME_BYTES - len(ending)]
    return (stem + ending).decode(errors="ignore")


def _file(workshop: Workshop, line: Line, revision: ClaimedRevision, outcomes: Outcomes) -> FetchedFile | None:
    """The document's bytes; None where there are none to be had, or not yet."""
    if revision.url is None:
        content = line.content(revision.revision_id)
        return None if content is None else FetchedFile(name=revision.file_name, content=content)
    try:
        return fetch(revision.url, revision.file_name, workshop.outbound, workshop.ingest.max_file_bytes)
    except UrlUnreachable as error:
        if revision.attempts < MOST_ATTEMPTS:
            line.put_back([revision], _in(pause(revision.attempts, error.retry_after)), error)
        else:
            outcomes.fail(Failure(uri=revision.uri, reason=error.code, message=str(error)))
    except UnreadableDocument as error:
        outcomes.fail(Failure(uri=revision.uri, reason=error.reason, message=str(error)))
    except InputError as error:
        outcomes.fail(Failure(uri=revision.uri, reason=error.code, message=str(error)))
    return None


def _source(revision: ClaimedRevision, path: Path) -> SourceFile:
    return SourceFile(
        path=path,
        uri=revision.uri,
        title=revision.title,
        acl=frozenset(revision.acl),
        metadata=revision.metadata,
        language=revision.language,
    )


def _narrow(line: Line, batch: _Batch, sources: Sequence[SourceFile]) -> None:
    """Takes permissions away before anything that may fail or take long. Nobody is let in: who may see the new text was
    not meant to see the old one."""
    narrowed = []
    for source in sources:
        before = batch.known.get(source.uri)
        if before is not None and not source.acl >= frozenset(before.acl):
            kept = source.acl & frozenset(before.acl) or frozenset({NOBODY})
            narrowed.append(replace(source, acl=kept, metadata=before.metadata))
    if narrowed:
        line.describe_held(batch.claim_id, narrowed)


def _failed(batch: _Batch, failure: Failure) -> _Ending:
    settlement = Settlement(
        revision_id=batch.revisions[failure.uri].revision_id,
        state="failed",
        error_code=failure.reason,
        error_message=failure.message,
    )
    return _Ending(uri=failure.uri, settlement=settlement)


def _described(batch: _Batch, source: SourceFile) -> _Ending:
    revision_id, known = batch.revisions[source.uri].revision_id, batch.known[source.uri]
    if known.described_as(source):
        return _Ending(uri=source.uri, settlement=Settlement(revision_id=revision_id, state="unchanged"))
    settlement = Settlement(revision_id=revision_id, state="updated")
    return _Ending(uri=source.uri, settlement=settlement, described=(source,))


def _replaced(batch: _Batch, made: EmbeddedDocument) -> _Ending:
    uri = made.parsed.source.uri
    settlement = Settlement(revision_id=batch.revisions[uri].revision_id, state="indexed")
    return _Ending(uri=uri, settlement=settlement, replaced=(made,))


def _settle(line: Line, batch: _Batch, endings: Sequence[_Ending]) -> list[SettledRevision]:
    """All in one transaction; a document that the database refuses costs itself only."""

    def write(uris: frozenset[str]) -> None:
        line.describe([source for ending in endings for source in ending.described if ending.uri in uris])
        if made := [made for ending in endings for made in ending.replaced if ending.uri in uris]:
            line.replace(made, batch.generation_id)

    try:
        return line.settle(batch.claim_id, [ending.settlement for ending in endings], write)
    except UnreadableDocument as error:
        if len(endings) > 1:
            return [settled for ending in endings for settled in _settle(line, batch, [ending])]
        refused = Failure(uri=endings[0].uri, reason=error.reason, message=str(error))
        return line.settle(batch.claim_id, [_failed(batch, refused).settlement], write=lambda _uris: None)


def _rest(
    workshop: Workshop,
    line: Line,
    revisions: Sequence[ClaimedRevision],
    error: EmbedderUnavailable | ParserUnavailable,
) -> None:
    """A part that every document needs gave way: no document failed. They wait, and so does this worker."""
    seconds = workshop.rest.begin(error.retry_after if isinstance(error, EmbedderUnavailable) else None)
    moment = _in(seconds)
    if revisions:
        line.put_back(revisions, moment, error)
    line.wake(moment)
    _log.warning("worker_rests", reason=str(error), seconds=round(seconds, 1))


def _index(workshop: Workshop, tenant: TenantId, generation: Generation) -> None:
    """Builds the tenant's vector index where one is due. Without it searches are exact, only slower: no failure."""
    try:
        build_vector_index(workshop.dsn, tenant, generation, workshop.ingest.index_from)
    except StoreUnavailable as error:
        _log.warning("vector_index_not_built", reason=str(error))


def _in(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)
