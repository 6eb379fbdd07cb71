"""The generations there are: made, listed, moved between, dropped. All in the tables' owner's name."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from psycopg import errors as pg
from psycopg import sql
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from ingest.generations.placing import tenants
from ingest.generations.tables import drop_tables, make_tables, patiently
from ingest.indexing import MOST_DIMENSIONS, generations
from ingest.rows import Row
from ingest.transactions import connected, locking
from retrieval.database.errors import store_errors
from retrieval.database.generations import Generation, State, live_one, search_path
from retrieval.database.statements import reference_statement, tenant_statement
from retrieval.database.store import set_local
from retrieval.errors import Conflict, IndexMismatch, NotFound, StoreUnavailable, StoreUnsupported
from retrieval.models.protocols import Embedder

IN_USE = timedelta(minutes=10)
"""So long after it was live, processes may still read a generation: those that could not yet load the next one's model,
and answers that were begun before."""
_LOCK_TIMEOUT = "5s"
_PENDING = tenant_statement("ingest.generations", "pending")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """How many documents a generation lacks as they are now, and how many could not be cut for it."""

    documents: int
    problems: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Since:
    changed_at: datetime


class Generations:
    """A session that builds or moves generations, the only one, from `open_generations()`; or looks at them, from
    `reading_generations()`. All here raises `StoreUnavailable`."""

    def __init__(self, dsn: str, connection: psycopg.Connection[Any]) -> None:
        self._dsn = dsn
        self._connection = connection

    def all(self) -> list[Generation]:
        """Those that are there, oldest first."""
        return generations(self._dsn)

    def live(self) -> Generation:
        """The one that answers. Raises `NotFound` while nothing was ingested."""
        if (live := live_one(self.all())) is None:
            raise NotFound("nothing was ingested yet: there is no index to build anew")
        return live

    def named(self, generation_id: int) -> Generation:
        """The generation of that number. Raises `NotFound`."""
        for each in self.all():
            if each.generation_id == generation_id:
                return each
        raise NotFound(f"there is no generation {generation_id}")

    def before(self) -> Generation:
        """The one that answered before the live one. Raises `Conflict` where there is none, or it was dropped."""
        with store_errors():
            found = self._rows(Generation, "before")
        if not found:
            raise Conflict("there is no generation to go back to")
        return found[0]

    def record_opening(self, opening: Mapping[str, object]) -> None:
        """Keeps how the live model is opened, if that is not recorded."""
        with store_errors():
            self._run("record_opening", opening=Jsonb(dict(opening)))

    def add(self, embedder: Embedder, opening: Mapping[str, object]) -> Generation:
        """A new generation without documents, its tables like the live one's. Raises `IndexMismatch` for vectors that
        are too long, and `StoreUnsupported` where the database's user may not make a schema."""
        if embedder.dimensions > MOST_DIMENSIONS:
            raise IndexMismatch(f"vectors of more than {MOST_DIMENSIONS} dimensions cannot be indexed")
        try:
            with store_errors(), self._moving():
                [made] = self._rows(
                    Generation,
                    "add_generation",
                    embedder=embedder.name,
                    dimensions=embedder.dimensions,
                    opening=Jsonb(dict(opening)),
                )
                make_tables(self._connection, self.live().generation_id, made.generation_id)
        except IndexMismatch as error:
            if isinstance(error.__cause__, pg.InsufficientPrivilege):
                raise StoreUnsupported("the database's user may not make a schema: GRANT CREATE ON DATABASE") from error
            raise
        return made

    def reopen(self, generation_id: int, opening: Mapping[str, object]) -> Generation:
        """The generation, its model from now on opened like this."""
        with store_errors():
            self._run("reopen", generation_id=generation_id, opening=Jsonb(dict(opening)))
        return self.named(generation_id)

    def pending(self, generation_id: int) -> Pending:
        """What it lacks, of all tenants' documents."""
        with store_errors(), self._connection.transaction():
            return self._pending(generation_id)

    def set_state(self, generation_id: int, state: State) -> None:
        with store_errors():
            self._run("set_state", generation_id=generation_id, state=state)

    def pause(self, generation_id: int, seconds: float) -> None:
        """Writers wait, for so long at most; returns when those at work have ended."""
        with store_errors():
            self._run("pause_writers", generation_id=generation_id, seconds=seconds)
            with self._moving(f"{seconds:.0f}s"):
                pass

    def resume(self, generation_id: int) -> None:
        """Writers go on."""
        with store_errors():
            self._run("pause_writers", generation_id=generation_id, seconds=0.0)

    def make_live(self, generation_id: int) -> bool:
        """Moves the index to this generation in one transaction, if it holds every document as it is; False, and
        nothing is changed, if it does not, or a writer is long at work."""
        try:
            with store_errors(), self._moving():
                return self._made_live(generation_id)
        except StoreUnavailable as error:
            if isinstance(error.__cause__, pg.LockNotAvailable):
                return False
            raise

    def _made_live(self, generation_id: int) -> bool:
        if self._pending(generation_id).documents:
            return False
        live = self.live().generation_id
        self._run("set_state", generation_id=live, state="retired")
        self._run("set_state", generation_id=generation_id, state="live")
        return True

    def drop(self, generation_id: int, *, force: bool = False) -> None:
        """Drops a generation that is not live. Raises `Conflict` where it is, or was a moment ago: `force` overrules
        only the latter."""
        found = self.named(generation_id)
        if found.state == "live":
            raise Conflict(f"generation {generation_id} is live")
        [since] = self._rows(_Since, "state_since", generation_id=generation_id)
        if found.state == "retired" and not force and datetime.now(UTC) - since.changed_at < IN_USE:
            minutes = IN_USE.total_seconds() / 60
            raise Conflict(f"generation {generation_id} may still be read: wait {minutes:.0f} minutes, or use --force")

        def step() -> None:
            self._run("take_generations")
            drop_tables(self._connection, generation_id)
            self._run("set_state", generation_id=generation_id, state="dropped")

        with store_errors():
            patiently(self._connection, step)

    def _pending(self, generation_id: int) -> Pending:
        self._connection.execute(search_path(generation_id))
        documents = problems = 0
        for tenant in tenants(self._connection):
            # Whom row-level security does not hold back needs no tenant; whom it does sees this one.
            self._connection.execute(set_local("pincite.tenant", tenant))
            with self._connection.cursor(row_factory=class_row(Pending)) as cursor:
                [found] = cursor.execute(_PENDING.query, {"tenant_id": tenant}).fetchall()
            documents, problems = documents + found.documents, problems + found.problems
        return Pending(documents=documents, problems=problems)

    @contextmanager
    def _moving(self, patience: str = _LOCK_TIMEOUT) -> Iterator[None]:
        """A transaction that no writer is at work during."""
        with self._connection.transaction():
            self._connection.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(sql.Literal(patience)))
            self._run("take_generations")
            yield

    def _rows(self, row: type[Row], name: str, **parameters: object) -> list[Row]:
        with self._connection.cursor(row_factory=class_row(row)) as cursor:
            return cursor.execute(reference_statement("ingest.generations", name).query, parameters).fetchall()

    def _run(self, name: str, **parameters: object) -> None:
        self._connection.execute(reference_statement("ingest.generations", name).query, parameters)


@contextmanager
def reading_generations(dsn: str) -> Iterator[Generations]:
    """To look only: another process may be building or moving meanwhile. Raises `StoreUnavailable`."""
    with connected(dsn) as connection:
        yield Generations(dsn, connection)


@contextmanager
def open_generations(dsn: str) -> Iterator[Generations]:
    """Raises `Conflict` where another process builds or moves generations, and `StoreUnavailable`."""
    with locking(dsn) as connection:
        with store_errors():
            locked = connection.execute(reference_statement("ingest.generations", "lock_rebuilding").query).fetchone()
        if locked != (True,):
            raise Conflict("another process is building a generation of the index, or moving between them")
        yield Generations(dsn, connection)
