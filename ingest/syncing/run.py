"""The sync path: from a source to the index. Reads from top to bottom.

lock → narrow → list → skip what is unchanged → claim → fetch → ingest → record → remove what is gone

Killed at any moment, a run loses and doubles nothing, and the next one carries on. Nothing is removed unless the
source was listed to its end.
"""

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path

from ingest.domain import Failure, SourceFile
from ingest.pipeline import Run, ingest, recipe
from ingest.sources import Selection
from ingest.syncing.declared import Declared
from ingest.syncing.domain import Entry, Fetched, Item, Problem, Source, SyncReport
from ingest.syncing.ownership import Ownership
from ingest.syncing.plan import Changed, Plan, Redescribed, Unchanged, described, narrowed, printable
from ingest.syncing.state import Recorded, SourceState, open_state
from retrieval.access import tenant_id
from retrieval.errors import SourceUnavailable, UnreadableDocument
from retrieval.models.protocols import Embedder
from retrieval.settings import IngestSettings, SyncSettings

_TOGETHER = 1000
"""Documents claimed, fetched and recorded at a time."""
_FEW = 10
"""Where fewer are gone, the share of the source says nothing."""
_MAY_PASS = frozenset({"too_slow", "parser_crashed", "refused_by_database", "refused_by_embedder", "unreadable_file"})
"""Failures of the hour rather than of the bytes: such a document is read again in the next run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncRun:
    """How to sync. `opening` gives the source that a declaration stands for."""

    dsn: str
    embedder: Embedder
    ingest: IngestSettings
    settings: SyncSettings
    opening: Callable[[Declared, SyncSettings, IngestSettings], AbstractContextManager[Source]]
    workers: int = 1
    dry_run: bool = False
    allow_mass_delete: bool = False
    on_document: Callable[[str], None] = lambda _outcome: None


@dataclass(slots=True)
class _Outcomes:
    """Collects what happened. `present` is all that the source lists, `documents` what its owner wants of it."""

    run: SyncRun
    present: set[str] = field(default_factory=set)
    documents: set[str] = field(default_factory=set)
    unchanged: int = 0
    fetched: int = 0
    chunks: int = 0
    indexed: list[str] = field(default_factory=list)
    updated: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    """One run at one source."""

    run: SyncRun
    declared: Declared
    state: SourceState
    plan: Plan
    outcomes: _Outcomes


@dataclass(slots=True)
class _Batch:
    """Decisions to be carried out together."""

    asides: list[Entry] = field(default_factory=list)
    redescribed: list[SourceFile] = field(default_factory=list)
    changed: list[Changed] = field(default_factory=list)

    def is_full(self, max_bytes: int) -> bool:
        entries = len(self.asides) + len(self.redescribed) + len(self.changed)
        return entries >= _TOGETHER or sum(changed.entry.size for changed in self.changed) >= max_bytes


def synchronise(run: SyncRun, declared: Declared) -> SyncReport:
    """Makes the index say what the source says. One bad document is a `Failure`; a source that cannot be listed to its
    end, or that another run is at, is a `Problem`.

    Raises `IndexMismatch`, `StoreUnavailable`, `EmbedderUnavailable`, `ParserUnavailable`, `InvalidManifest` and
    `InvalidSources`; documents already stored stay stored, and the next run carries on.
    """
    begun = time.monotonic()
    outcomes = _Outcomes(run)
    with open_state(run.dsn, tenant_id(declared.tenant), declared.name) as state:
        if state.lock():
            _alone(run, declared, state, outcomes)
        else:
            outcomes.problems.append(Problem(code="already_running", message="another run is at this source"))
    return _report(declared, outcomes, time.monotonic() - begun)


def _alone(run: SyncRun, declared: Declared, state: SourceState, outcomes: _Outcomes) -> None:
    owner = Ownership(declared)
    if not run.dry_run:
        state.begin()
    known = _narrow(run, owner, state)
    made_by = recipe(_ingesting(run, declared))
    plan = Plan(owner=owner, known=known, recipe=made_by, max_file_bytes=run.ingest.max_file_bytes)
    work = _Work(run=run, declared=declared, state=state, plan=plan, outcomes=outcomes)
    try:
        with run.opening(declared, run.settings, run.ingest) as source:
            for batch in _batches(work, source):
                _carry_out(work, source, batch)
    except SourceUnavailable as error:
        outcomes.problems.append(Problem(code=error.code, message=str(error)))
    if not outcomes.problems:
        _remove(work)
    if not run.dry_run:
        state.end("incomplete" if outcomes.problems else "complete")


def _narrow(run: SyncRun, owner: Ownership, state: SourceState) -> dict[str, Item]:
    """What is known of the source, after permissions that the rules no longer give were taken away: that waits for no
    source, no parser and no model."""
    known = state.items()
    narrower = list(narrowed(known.values(), owner))
    for at in range(0, len(narrower), _TOGETHER):
        some = narrower[at : at + _TOGETHER]
        if not run.dry_run:
            state.describe(some)
            known.update({source.uri: replace(known[source.uri], acl=sorted(source.acl)) for source in some})
    return known


def _batches(work: _Work, source: Source) -> Iterator[_Batch]:
    """What is to be done, a part at a time. A listing that breaks off is a `Problem`; what it gave still stands."""
    batch = _Batch()
    try:
        for listed in source.entries(work.plan.known, work.plan.settled()):
            _decide(work, listed, batch)
            if batch.is_full(work.run.settings.batch_bytes):
                yield batch
                batch = _Batch()
    except SourceUnavailable as error:
        work.outcomes.problems.append(Problem(code=error.code, message=str(error)))
    yield batch


def _decide(work: _Work, listed: Entry | Failure, batch: _Batch) -> None:
    outcomes, item = work.outcomes, work.plan.known.get(listed.uri)
    if len(outcomes.present) >= work.run.settings.max_entries:
        raise SourceUnavailable(f"it lists more than {work.run.settings.max_entries} entries")
    if isinstance(listed, Entry) and not listed.aside and not work.plan.wants(listed):
        return
    if listed.uri in outcomes.present:
        _fail(outcomes, Failure(uri=printable(listed.uri), reason="duplicate_uri", message="the source lists it twice"))
        return
    outcomes.present.add(listed.uri)
    if isinstance(listed, Failure):
        outcomes.documents.add(listed.uri)
        _fail(outcomes, listed)
    elif listed.aside:
        if item is None or (item.marker, item.remembered) != (listed.marker, listed.remembered) or item.recipe:
            batch.asides.append(listed)
    else:
        outcomes.documents.add(listed.uri)
        _decide_document(work, listed, batch)


def _decide_document(work: _Work, entry: Entry, batch: _Batch) -> None:
    match work.plan.decide(entry):
        case Unchanged():
            work.outcomes.unchanged += 1
            work.run.on_document("unchanged")
        case Redescribed(source=source):
            batch.redescribed.append(source)
        case Changed() as changed:
            batch.changed.append(changed)
        case Failure() as failure:
            _fail(work.outcomes, failure)


def _carry_out(work: _Work, source: Source, batch: _Batch) -> None:
    if work.run.dry_run:
        work.outcomes.updated += [described.uri for described in batch.redescribed]
        work.outcomes.indexed += [changed.entry.uri for changed in batch.changed]
        return
    _redescribe(work, batch.redescribed)
    entries = [*batch.asides, *(changed.entry for changed in batch.changed)]
    own = work.state.claim(entries) if entries else frozenset()
    for entry in entries:
        if entry.uri not in own:
            message = "it belongs to another source"
            _fail(work.outcomes, Failure(uri=entry.uri, reason="duplicate_uri", message=message))
    work.state.record([Recorded(entry=entry, recipe="") for entry in batch.asides])
    changed = {changed.entry.uri: changed for changed in batch.changed if changed.entry.uri in own}
    with tempfile.TemporaryDirectory(prefix="pincite-sync-") as folder:
        for some in _fetched(work, source, changed, Path(folder)):
            _ingest(work, changed, some)


def _redescribe(work: _Work, sources: Sequence[SourceFile]) -> None:
    """New permissions and metadata for texts that are the stored ones: nothing is embedded again."""
    if not sources:
        return
    try:
        work.state.describe(sources)
    except UnreadableDocument as error:
        if len(sources) > 1:
            for source in sources:
                _redescribe(work, [source])
        else:
            _fail(work.outcomes, Failure(uri=sources[0].uri, reason=error.reason, message=str(error)))
        return
    for source in sources:
        work.outcomes.updated.append(source.uri)
        work.run.on_document("updated")


def _fetched(work: _Work, source: Source, changed: Mapping[str, Changed], folder: Path) -> Iterator[list[Fetched]]:
    """The documents' bytes, as many at a time as may lie on the disk."""
    some: list[Fetched] = []
    size = 0
    for got in source.fetch([each.entry for each in changed.values()], folder) if changed else ():
        if isinstance(got, Failure):
            _fail(work.outcomes, got)
            continue
        work.outcomes.fetched += 1
        some.append(got)
        size += got.path.stat().st_size
        if size >= work.run.settings.batch_bytes:
            yield some
            _clear(some, folder)
            some, size = [], 0
    yield some


def _clear(some: Sequence[Fetched], folder: Path) -> None:
    """Takes the fetched files away; those that are the source's own stay."""
    for got in some:
        if got.path.is_relative_to(folder):
            got.path.unlink()


def _ingest(work: _Work, changed: Mapping[str, Changed], some: Sequence[Fetched]) -> None:
    """Stores them, and then notes the state in which they were."""
    if not some:
        return
    sources = [described(got.entry.uri, changed[got.entry.uri].said, got.path) for got in some]
    selection = Selection(sources=tuple(sources), failures=(), present=frozenset(), scopes=())
    report = ingest(_ingesting(work.run, work.declared), selection)
    outcomes = work.outcomes
    outcomes.indexed += report.indexed
    outcomes.updated += report.updated
    outcomes.failures += report.failures
    outcomes.chunks += report.chunks
    failures = {failure.uri: failure for failure in report.failures}
    work.state.record(
        [
            _recorded(changed[got.entry.uri], got.entry, failures.get(got.entry.uri))
            for got in some
            if got.entry.uri not in failures or failures[got.entry.uri].reason not in _MAY_PASS
        ]
    )


def _recorded(changed: Changed, entry: Entry, failure: Failure | None) -> Recorded:
    if failure is None:
        return Recorded(entry=entry, recipe=changed.recipe)
    return Recorded(entry=entry, recipe=changed.recipe, failure=failure.reason, message=failure.message)


def _remove(work: _Work) -> None:
    """Removes what is no longer at the source, unless that is suspiciously much of it."""
    known, outcomes = work.plan.known, work.outcomes
    gone = sorted(known.keys() - outcomes.documents)
    stored = [uri for uri in gone if known[uri].stored]
    if not work.run.allow_mass_delete and _is_suspicious(work, len(stored)):
        message = f"{len(stored)} documents are gone from the source: removed only with --allow-mass-delete"
        outcomes.problems.append(Problem(code="mass_delete", message=message))
        return
    for uri in stored:
        if not work.run.dry_run:
            work.state.remove(uri)
        outcomes.removed.append(uri)
        work.run.on_document("removed")
    if not work.run.dry_run:
        work.state.forget([uri for uri in gone if uri not in outcomes.present])


def _is_suspicious(work: _Work, gone: int) -> bool:
    stored = sum(item.stored for item in work.plan.known.values())
    if gone and not work.outcomes.documents:
        return True
    return gone >= _FEW and gone * 100 > stored * work.run.settings.max_delete_percent


def _fail(outcomes: _Outcomes, failure: Failure) -> None:
    outcomes.failures.append(failure)
    outcomes.run.on_document("failures")


def _ingesting(run: SyncRun, declared: Declared) -> Run:
    return Run(
        dsn=run.dsn,
        tenant=tenant_id(declared.tenant),
        embedder=run.embedder,
        settings=run.ingest,
        workers=run.workers,
        on_document=lambda outcome, _chunks: run.on_document(outcome),
    )


def _report(declared: Declared, outcomes: _Outcomes, seconds: float) -> SyncReport:
    return SyncReport(
        tenant=declared.tenant,
        source=declared.name,
        found=len(outcomes.documents),
        unchanged=outcomes.unchanged,
        fetched=outcomes.fetched,
        indexed=tuple(outcomes.indexed),
        updated=tuple(outcomes.updated),
        removed=tuple(outcomes.removed),
        failures=tuple(outcomes.failures),
        problems=tuple(outcomes.problems),
        chunks=outcomes.chunks,
        seconds=seconds,
    )
