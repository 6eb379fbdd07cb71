"""`pincite ingest`."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from ingest.domain import IngestReport, Metadata
from ingest.embedding import Configured, live_embedder
from ingest.pipeline import Run, ingest
from ingest.situating.situator import open_situator
from ingest.sources import Request, check_metadata, select
from retrieval.access import principal, tenant_id
from retrieval.database.preparing import prepare_database
from retrieval.errors import InputError
from retrieval.settings import Settings

_ON_STDERR = Console(stderr=True)


def ingest_command(
    tenant: Annotated[str, typer.Option(help="Whose documents these are")],
    paths: Annotated[list[Path] | None, typer.Argument(help="Files and folders", show_default=False)] = None,
    allow: Annotated[list[str] | None, typer.Option(help="Who may see them: user:ada, group:eng, everyone")] = None,
    metadata: Annotated[list[str] | None, typer.Option(help="key=value, kept with each document")] = None,
    include: Annotated[list[str] | None, typer.Option(help="Only files that match this glob")] = None,
    exclude: Annotated[list[str] | None, typer.Option(help="No files that match this glob")] = None,
    manifest: Annotated[Path | None, typer.Option(help="JSONL or YAML: ACL, title, metadata per document")] = None,
    prefix: Annotated[
        str | None, typer.Option(help="First part of the uris; one per source [default: the folder's name]")
    ] = None,
    prune: Annotated[bool, typer.Option("--prune", help="Remove documents no longer at the source")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, change nothing")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The report as JSON on stdout")] = False,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes that parse")] = 1,
) -> None:
    """Ingest files and folders, or what a manifest lists.

    Exit code 0: all is well. 1: some documents could not be indexed, other than for want of text recognition.
    2: the run could not be done.
    """
    if not paths and manifest is None:
        raise InputError("nothing to ingest: name files or folders, or a --manifest")
    request = Request(
        paths=tuple(paths or ()),
        manifest=manifest,
        acl=frozenset(map(principal, allow or ())),
        metadata=_metadata(metadata or []),
        prefix=prefix.strip("/") or None if prefix else None,
        include=tuple(include or ()),
        exclude=tuple(exclude or ()),
    )
    owner = tenant_id(tenant)
    try:
        selection = select(request)
    except OSError as error:
        raise InputError(f"{error.filename}: {error.strerror}") from error
    settings = Settings()
    dsn = prepare_database(settings)
    embedder = live_embedder(dsn, Configured(settings.embedder))
    with (
        _progress(len(selection.sources) + len(selection.failures)) as on_document,
        open_situator(dsn, owner, embedder, settings) as situator,
    ):
        run = Run(
            dsn=dsn,
            tenant=owner,
            embedder=embedder,
            settings=settings.ingest,
            situator=situator,
            workers=workers,
            prune=prune,
            dry_run=dry_run,
            on_document=on_document,
        )
        report = ingest(run, selection)
    print(json.dumps(asdict(report), ensure_ascii=False) if as_json else _summary(report, dry_run=dry_run))
    if not all(failure.is_declared for failure in report.failures):
        raise typer.Exit(1)


def _metadata(pairs: list[str]) -> Metadata:
    """`k=v` pairs. Raises `InputError` for one without '='."""
    metadata = dict(pair.partition("=")[::2] for pair in pairs)
    if any("=" not in pair or not pair.partition("=")[0] for pair in pairs):
        raise InputError("--metadata wants key=value")
    try:
        check_metadata(metadata)
    except ValueError as error:
        raise InputError(str(error)) from error
    return metadata


@contextmanager
def _progress(documents: int) -> Iterator[Callable[[str, int], None]]:
    """A bar on stderr with rate and time left; silent where stderr is not a terminal."""
    columns = (
        TextColumn("[bold]ingest"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("documents · {task.fields[chunks]} chunks · {task.fields[rate]:.0f} chunks/s"),
        TimeElapsedColumn(),
        TextColumn("· left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=_ON_STDERR, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("ingest", total=documents, chunks=0, rate=0.0)
        begun = time.monotonic()
        chunks = 0

        def on_document(_outcome: str, more: int) -> None:
            nonlocal chunks
            chunks += more
            progress.update(task, advance=1, chunks=chunks, rate=chunks / (time.monotonic() - begun))

        yield on_document


def _summary(report: IngestReport, *, dry_run: bool) -> str:
    """The report for a person: counts, then a line for each failure."""
    counts = (
        f"{'would be ' if dry_run else ''}indexed {len(report.indexed)} ({report.chunks} chunks), "
        f"updated {len(report.updated)}, unchanged {len(report.unchanged)}, removed {len(report.removed)}, "
        f"failed {len(report.failures)} in {report.seconds:.1f} s"
    )
    if report.without_context:
        counts += f"; {report.without_context} chunks lack the LLM's context, the next run asks again"
    if report.receipt:
        counts += f"; receipt {report.receipt}"
    return "\n".join(
        [counts, *(f"  {failure.uri}: {failure.reason}: {failure.message}" for failure in report.failures)]
    )
