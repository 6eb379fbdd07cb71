"""One run at one source: what it works with, and what came of it."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from ingest.domain import Failure, SourceFile
from ingest.examining import Parsers
from ingest.pipeline import Run
from ingest.situating.situator import Silent, Situating, Situator, nobody_situates
from ingest.syncing.declared import Declared
from ingest.syncing.domain import Entry, Problem, Source
from ingest.syncing.plan import Changed, Plan
from ingest.syncing.state import SourceState
from retrieval.access import tenant_id
from retrieval.errors import PinciteError
from retrieval.models.protocols import Embedder
from retrieval.settings import IngestSettings, SyncSettings

TOGETHER = 1000
"""Documents claimed, fetched and recorded at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncRun:
    """How to sync. `opening` gives the source that a declaration stands for; `parsers` as in `Run`."""

    dsn: str
    embedder: Embedder
    ingest: IngestSettings
    settings: SyncSettings
    opening: Callable[[Declared, SyncSettings, IngestSettings], AbstractContextManager[Source]]
    workers: int = 1
    parsers: Parsers | None = None
    situating: Situating = nobody_situates
    situator: Situator = field(default_factory=Silent)
    dry_run: bool = False
    allow_mass_delete: bool = False
    on_document: Callable[[str], None] = lambda _outcome: None


@dataclass(slots=True)
class Outcomes:
    """Collects what happened. `present` is all that the source lists, `documents` what its owner wants of it."""

    run: SyncRun
    present: set[str] = field(default_factory=set)
    documents: set[str] = field(default_factory=set)
    unchanged: int = 0
    fetched: int = 0
    chunks: int = 0
    indexed: list[str] = field(default_factory=list)
    updated: dict[str, None] = field(default_factory=dict)
    removed: list[str] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    receipt: str | None = None

    def fail(self, failure: Failure) -> None:
        """One document that could not be done."""
        self.failures.append(failure)
        self.run.on_document("failures")

    def update(self, uri: str) -> None:
        """One document that was described anew; it may have been so in two steps."""
        if uri not in self.updated:
            self.updated[uri] = None
            self.run.on_document("updated")

    def stop(self, error: PinciteError) -> None:
        """The source gave way, or whose it is, or is no source: nothing will be removed."""
        self.problems.append(Problem(code=error.code, message=str(error)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One run at one source."""

    run: SyncRun
    declared: Declared
    state: SourceState
    plan: Plan
    outcomes: Outcomes

    def ingest(self) -> Run:
        """How its documents are ingested."""
        return ingesting(self.run, self.declared)


@dataclass(slots=True)
class Batch:
    """Decisions to be carried out together."""

    asides: list[Entry] = field(default_factory=list)
    redescribed: list[SourceFile] = field(default_factory=list)
    changed: list[Changed] = field(default_factory=list)

    def is_full(self, max_bytes: int) -> bool:
        """Whether it is enough to be carried out."""
        entries = len(self.asides) + len(self.redescribed) + len(self.changed)
        return entries >= TOGETHER or sum(changed.entry.size for changed in self.changed) >= max_bytes


def ingesting(run: SyncRun, declared: Declared) -> Run:
    """How a source's documents are ingested."""
    return Run(
        dsn=run.dsn,
        tenant=tenant_id(declared.tenant),
        embedder=run.embedder,
        settings=run.ingest,
        workers=run.workers,
        parsers=run.parsers,
        situator=run.situator,
        new_tenant=False,
        on_document=lambda outcome, _chunks: run.on_document(outcome),
    )
