"""`pincite sync`."""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Never

import structlog
import typer

from ingest.embedding import Configured, Opening, live_embedder
from ingest.situating.situator import situators
from ingest.syncing.declared import Declared, named, read_sources
from ingest.syncing.domain import SyncReport
from ingest.syncing.opening import open_source
from ingest.syncing.run import synchronise
from ingest.syncing.schedule import due
from ingest.syncing.work import SyncRun
from retrieval.database.preparing import prepare_database
from retrieval.errors import InvalidSources, PinciteError
from retrieval.settings import Settings

_log = structlog.get_logger(__name__)

_LOOK = 20.0
"""Seconds between two looks at the schedule."""


def sync_command(
    names: Annotated[
        list[str] | None, typer.Argument(help="Sources by name [default: all]", show_default=False)
    ] = None,
    file: Annotated[Path | None, typer.Option("--sources", help="YAML [default: PINCITE_SYNC_SOURCES]")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, change nothing")] = False,
    allow_mass_delete: Annotated[
        bool, typer.Option("--allow-mass-delete", help="Remove what is gone, however much it is")
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Go on for ever, syncing each source when its schedule says")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="A report per source as a JSON line on stdout")] = False,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes that parse")] = 1,
) -> None:
    """Make the index say what the sources say: folders, S3 buckets, git repositories, websites.

    Exit code 0: all is well. 1: some documents or sources could not be done. 2: the run could not be done.
    """
    settings = Settings()
    place = file or settings.sync.sources
    if place is None:
        raise InvalidSources("where are the sources declared? say --sources, or set PINCITE_SYNC_SOURCES")
    declared = named(read_sources(place), names or [])
    dsn, opening = prepare_database(settings), Configured(settings.embedder)
    run = SyncRun(
        dsn=dsn,
        embedder=live_embedder(dsn, opening),
        ingest=settings.ingest,
        settings=settings.sync,
        opening=partial(open_source, outbound=settings.outbound),
        situating=situators(dsn, settings),
        workers=workers,
        dry_run=dry_run,
        allow_mass_delete=allow_mass_delete,
    )
    if watch:
        _watch(run, opening, declared, as_json=as_json)
    if not _sync(run, declared, as_json=as_json):
        raise typer.Exit(1)


def _watch(run: SyncRun, opening: Opening, declared: Sequence[Declared], *, as_json: bool) -> Never:
    """Syncs what is due, for ever. A source that gives way is logged, and holds up no other."""
    while True:
        for source in declared:
            try:
                if due(run.dsn, source):
                    # Opened long ago, it may be the one of before the index moved to another model.
                    now = replace(run, embedder=live_embedder(run.dsn, opening))
                    _sync(now, [source], as_json=as_json)
            except PinciteError as error:
                _log.warning("sync_failed", source=source.name, code=error.code, reason=str(error))
        time.sleep(_LOOK)


def _sync(run: SyncRun, declared: Sequence[Declared], *, as_json: bool) -> bool:
    """Whether all went well."""
    well = True
    for source in declared:
        report = synchronise(run, source)
        well = well and not (report.failures or report.problems)
        print(json.dumps(asdict(report), ensure_ascii=False) if as_json else _summary(report, dry_run=run.dry_run))
    return well


def _summary(report: SyncReport, *, dry_run: bool) -> str:
    """The report for a person: counts, then a line for each problem and failure."""
    counts = (
        f"{report.source}: {'would be: ' if dry_run else ''}found {report.found}, unchanged {report.unchanged},"
        f" fetched {report.fetched}, indexed {len(report.indexed)} ({report.chunks} chunks),"
        f" updated {len(report.updated)}, removed {len(report.removed)}, failed {len(report.failures)}"
        f" in {report.seconds:.1f} s"
    )
    if report.receipt:
        counts += f"; receipt {report.receipt}"
    problems = [f"  {problem.code}: {problem.message}; nothing was removed" for problem in report.problems]
    failures = [f"  {failure.uri}: {failure.reason}: {failure.message}" for failure in report.failures]
    return "\n".join([counts, *problems, *failures])
