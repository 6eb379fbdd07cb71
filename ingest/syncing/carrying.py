"""The middle of the sync path: a batch of decisions is carried out. claim → fetch → ingest → record"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ingest.domain import Failure, SourceFile
from ingest.pipeline import ingest
from ingest.sources import Selection
from ingest.syncing.domain import Entry, Fetched, Source
from ingest.syncing.plan import Changed, described
from ingest.syncing.state import Recorded
from ingest.syncing.work import Batch, Work
from retrieval.errors import UnreadableDocument

_MAY_PASS = frozenset({"too_slow", "parser_crashed", "refused_by_database", "refused_by_embedder", "unreadable_file"})
"""Failures of the hour rather than of the bytes: such a document is read again in the next run."""


def carry_out(work: Work, source: Source, batch: Batch) -> None:
    """Describes what is to be described, and stores what is to be stored. Raises `SourceUnavailable`, and what the
    ingest path raises."""
    if work.run.dry_run:
        work.outcomes.updated.update(dict.fromkeys(source.uri for source in batch.redescribed))
        work.outcomes.indexed += [changed.entry.uri for changed in batch.changed]
        return
    _redescribe(work, batch.redescribed)
    entries = [*batch.asides, *(changed.entry for changed in batch.changed)]
    own = work.state.claim(entries) if entries else frozenset()
    for entry in entries:
        if entry.uri not in own:
            message = "it belongs to another source"
            work.outcomes.fail(Failure(uri=entry.uri, reason="duplicate_uri", message=message))
    work.state.record([Recorded(entry=entry, recipe="") for entry in batch.asides])
    changed = {changed.entry.uri: changed for changed in batch.changed if changed.entry.uri in own}
    with tempfile.TemporaryDirectory(prefix="pincite-sync-") as folder:
        for some in _fetched(work, source, changed, Path(folder)):
            _ingest(work, changed, some)


def _redescribe(work: Work, sources: Sequence[SourceFile]) -> None:
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
            work.outcomes.fail(Failure(uri=sources[0].uri, reason=error.reason, message=str(error)))
        return
    for source in sources:
        work.outcomes.update(source.uri)


def _fetched(work: Work, source: Source, changed: Mapping[str, Changed], folder: Path) -> Iterator[list[Fetched]]:
    """The documents' bytes, as many at a time as may lie on the disk."""
    some: list[Fetched] = []
    size = 0
    for got in source.fetch([each.entry for each in changed.values()], folder) if changed else ():
        if isinstance(got, Failure):
            work.outcomes.fail(got)
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


def _ingest(work: Work, changed: Mapping[str, Changed], some: Sequence[Fetched]) -> None:
    """Stores them, and then notes the state in which they were."""
    if not some:
        return
    sources = [described(got.entry.uri, changed[got.entry.uri].said, got.path) for got in some]
    selection = Selection(sources=tuple(sources), failures=(), present=frozenset(), scopes=())
    report = ingest(work.ingest(), selection)
    outcomes = work.outcomes
    outcomes.indexed += report.indexed
    outcomes.updated.update(dict.fromkeys(report.updated))
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
