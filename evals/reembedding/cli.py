"""`pincite reembed` and `pincite generations`."""

import asyncio
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal
from urllib.parse import urlsplit

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from ingest.generations.building import Rebuild, build, forget_outdated
from ingest.generations.estimating import Estimate, estimate
from ingest.generations.moving import move
from ingest.generations.records import Generations, open_generations, reading_generations
from ingest.situating.remembering import kept_words
from retrieval.database.generations import Generation
from retrieval.database.preparing import prepare_database
from retrieval.engine import check_embedder
from retrieval.errors import Conflict, InputError
from retrieval.models.loading import load_embedder
from retrieval.models.protocols import Embedder
from retrieval.serving import opening_of, opening_settings
from retrieval.settings import EmbedderSettings, Settings

if TYPE_CHECKING:
    from evals.dataset import Dataset
    from evals.reembedding.gate import Verdict

_ON_STDERR = Console(stderr=True)
_MIB = 1024 * 1024

generations = typer.Typer(no_args_is_help=True, help="Generations of the index: list, cutover, rollback, drop")

Questions = Annotated[
    Path | None,
    typer.Option(
        help='JSON lines: {"tenant": "acme", "as": ["group:eng"], "question": "…", "relevant": ["docs/a.md"]}'
    ),
]
Provider = Literal["sentence-transformers", "openai"]
Tolerance = Annotated[float, typer.Option(min=0, max=1, help="How far nDCG@10 and recall@10 may fall")]
Force = Annotated[bool, typer.Option("--force", help="Whatever the questions say, or without any")]


def reembed_command(
    model: Annotated[str | None, typer.Option(help="The new model; unset: the same one, to cut documents anew")] = None,
    provider: Annotated[Provider | None, typer.Option(help="Who computes it; unset: as now")] = None,
    base_url: Annotated[str | None, typer.Option(help="OpenAI-compatible: the API's base URL; unset: as now")] = None,
    max_tokens: Annotated[int | None, typer.Option(min=16, help="OpenAI-compatible: longest chunk in tokens")] = None,
    questions: Questions = None,
    tolerance: Tolerance = 0.02,
    rate: Annotated[float | None, typer.Option(min=0.1, help="Most chunks a second; unset: as fast as it goes")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it would take, change nothing")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask whether there is room on the disk")] = False,
    force: Force = False,
) -> None:
    """Build the index anew beside the one that answers, compare the two on your questions, and move to it.

    Questions go on all the time. Killed, it carries on where it was when it is run again.
    Exit code 0: the new generation is live. 1: it is built, and something speaks against it. 2: it could not be done.
    """
    settings, asked = Settings(), _read(questions)
    dsn = prepare_database(settings)
    given = {"provider": provider, "model": model, "base_url": base_url, "max_tokens": max_tokens}
    with open_generations(dsn) as known:
        now, wanted, embedder = _models(known.live(), settings, given)
        size = estimate(dsn, known.live(), embedder.dimensions, settings.ingest.index_from)
        room = f"about {size.bytes / _MIB:,.0f} MiB of disk beside the live index"
        _say(f"{size.chunks:,} chunks, by {embedder.name}: {room}")
        if dry_run:
            return
        _agree(settings, size, yes=yes)
        known.record_opening(opening_of(now))
        generation = _begun(known, embedder, wanted)
        rebuild = replace(_rebuild(dsn, generation, settings, embedder), rate=rate or float("inf"))
        _build(rebuild, size.chunks)
        known.set_state(generation.generation_id, "ready")
        _cut_over(known, rebuild, settings, asked, tolerance, force=force)


@generations.command("list")
def list_command() -> None:
    """The generations there are, which one answers, and what each lacks."""
    with reading_generations(prepare_database(Settings())) as known:
        table = Table("generation", "embedder", "dimensions", "state", "documents to make", "problems", box=None)
        for each in known.all():
            pending = known.pending(each.generation_id)
            row = each.generation_id, each.embedder, each.dimensions, each.state, pending.documents, pending.problems
            table.add_row(*map(str, row))
        Console().print(table)


@generations.command("cutover")
def cutover_command(
    generation: Annotated[int, typer.Argument(help="Its number, as `list` says")],
    questions: Questions = None,
    tolerance: Tolerance = 0.02,
    force: Force = False,
) -> None:
    """Move the index to a generation that is built, if your questions do not speak against it."""
    settings, asked = Settings(), _read(questions)
    dsn = prepare_database(settings)
    with open_generations(dsn) as known:
        found = known.named(generation)
        rebuild = _rebuild(dsn, found, settings, _loaded(found, settings))
        # Built long ago, it lacks what came since: your questions would hold that against its model.
        build(rebuild)
        _cut_over(known, rebuild, settings, asked, tolerance, force=force)


@generations.command("rollback")
def rollback_command() -> None:
    """Move the index back to the generation that answered before; what changed since is made there first."""
    settings = Settings()
    dsn = prepare_database(settings)
    with open_generations(dsn) as known:
        before = known.before()
        _move(known, _rebuild(dsn, before, settings, _loaded(before, settings)))


@generations.command("drop")
def drop_command(
    generation: Annotated[int, typer.Argument(help="Its number, as `list` says")],
    force: Annotated[bool, typer.Option("--force", help="Though it was live only minutes ago")] = False,
) -> None:
    """Drop a generation that is not live, and free its disk."""
    with open_generations(prepare_database(Settings())) as known:
        known.drop(generation, force=force)
    _say(f"generation {generation} is dropped")


def _models(
    live: Generation, settings: Settings, given: Mapping[str, object]
) -> tuple[EmbedderSettings, EmbedderSettings, Embedder]:
    """How the live model is opened, how the wanted one is, and the latter.

    Raises `IndexMismatch` where neither the record nor the configuration knows the live one.
    """
    now = opening_settings(settings.embedder, live)
    wanted = _wanted(now, {name: value for name, value in given.items() if value is not None})
    check_embedder(live, current := load_embedder(now))
    return now, wanted, current if wanted == now else load_embedder(wanted)


def _wanted(now: EmbedderSettings, given: dict[str, object]) -> EmbedderSettings:
    wanted = EmbedderSettings.model_validate(now.model_dump() | given)
    address = urlsplit(wanted.base_url or "")
    if address.username or address.password:
        raise InputError("the base URL is recorded: a key belongs into PINCITE_EMBEDDER_API_KEY")
    return wanted


def _begun(known: Generations, embedder: Embedder, wanted: EmbedderSettings) -> Generation:
    """The generation that an earlier run began, or a new one. Raises `Conflict` where one is begun by another model."""
    for each in known.all():
        if each.state in {"building", "ready"}:
            if (each.embedder, each.dimensions) == (embedder.name, embedder.dimensions):
                return known.reopen(each.generation_id, opening_of(wanted))
            raise Conflict(f"generation {each.generation_id}, by {each.embedder}, is begun: drop it first")
    return known.add(embedder, opening_of(wanted))


def _rebuild(dsn: str, generation: Generation, settings: Settings, embedder: Embedder) -> Rebuild:
    check_embedder(generation, embedder)
    words = kept_words(settings, embedder)
    return Rebuild(dsn=dsn, generation=generation, embedder=embedder, settings=settings.ingest, words=words)


def _loaded(generation: Generation, settings: Settings) -> Embedder:
    return load_embedder(opening_settings(settings.embedder, generation))


def _cut_over(
    known: Generations,
    rebuild: Rebuild,
    settings: Settings,
    asked: "Dataset | None",
    tolerance: float,
    *,
    force: bool,
) -> None:
    against = [] if asked is None else list(_judge(settings, asked, rebuild.generation, tolerance).objections)
    if asked is None:
        against.append("no --questions to compare the two by")
    if problems := known.pending(rebuild.generation.generation_id).problems:
        against.append(f"{problems} documents could not be made")
    for objection in against:
        _say(f"against: {objection}")
    if against and not force:
        _say(f"generation {rebuild.generation.generation_id} is built and not live; --force makes it live nevertheless")
        raise typer.Exit(1)
    _move(known, rebuild)


def _read(questions: Path | None) -> "Dataset | None":
    """The questions, read before anything is built. Raises `InputError`."""
    if questions is None:
        return None
    try:
        from evals.reembedding.gate import judge  # noqa: F401 - missed now rather than after hours of building
        from evals.reembedding.questions import read_questions
    except ModuleNotFoundError as error:
        raise InputError(f"{error.name} is not installed: pip install 'pincite[evals]'") from error
    return read_questions(questions)


def _judge(settings: Settings, asked: "Dataset", generation: Generation, tolerance: float) -> "Verdict":
    from evals.reembedding.gate import judge

    verdict = asyncio.run(judge(settings, asked, generation, tolerance, lambda _stage, _count: lambda: None))
    for each in verdict.judged:
        how = f"{each.questions} questions, p = {each.p_value:.3f}"
        _say(f"{each.measure}: {each.live:.3f} → {each.following:.3f} ({how})")
    return verdict


def _move(known: Generations, rebuild: Rebuild) -> None:
    took = move(known, rebuild)
    number, embedder = rebuild.generation.generation_id, rebuild.generation.embedder
    waited = ", writers waited" if took.paused else ""
    _say(f"generation {number} ({embedder}) is live; {took.caught_up} documents caught up{waited}")


def _build(rebuild: Rebuild, chunks: int) -> None:
    forget_outdated(rebuild)
    with _progress(chunks) as on_batch:
        build(replace(rebuild, on_batch=on_batch))


def _agree(settings: Settings, size: Estimate, *, yes: bool) -> None:
    """Raises `InputError` where there is no room, or nobody said that there is."""
    database = settings.database
    if yes:
        return
    if database.database_url is None:
        if not size.fits(database.data_dir):
            raise InputError(f"there is too little room in {database.data_dir}; --yes builds nevertheless")
    elif not sys.stdin.isatty():
        raise InputError("whether the database's server has that room cannot be seen from here: say --yes")
    elif not typer.confirm("Has the database's server that much room?", err=True):
        raise typer.Exit(2)


@contextmanager
def _progress(chunks: int) -> Iterator[Callable[[int, int], None]]:
    """A bar on stderr with rate and time left; silent where stderr is not a terminal."""
    columns = (
        TextColumn("[bold]reembed"),
        BarColumn(),
        TextColumn("{task.completed:,.0f} of about {task.total:,.0f} chunks · {task.fields[documents]:,} documents"),
        TimeElapsedColumn(),
        TextColumn("· left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=_ON_STDERR, disable=not sys.stderr.isatty()) as progress:
        task, made = progress.add_task("reembed", total=chunks, documents=0), 0

        def on_batch(documents: int, more: int) -> None:
            nonlocal made
            made += documents
            progress.update(task, advance=more, documents=made)

        yield on_batch


def _say(line: str) -> None:
    _ON_STDERR.print(line, soft_wrap=True, highlight=False, markup=False)
