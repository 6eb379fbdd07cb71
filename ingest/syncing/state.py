"""What Postgres keeps of a source between runs, and the lock that lets only one run at it."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg.errors import ForeignKeyViolation
from psycopg.types.json import Jsonb

from ingest.store import TenantWriter
from ingest.syncing.domain import Entry, Item
from ingest.transactions import locking
from retrieval.access import TenantId
from retrieval.database.errors import store_errors
from retrieval.database.statements import TenantStatement, tenant_statement
from retrieval.errors import TenantLeaving


@dataclass(frozen=True, slots=True, kw_only=True)
class LastSync:
    """A source's last run. One whose outcome is still `running` may have been killed."""

    outcome: str
    started_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What became of an entry: `failure` and `message` are empty where it was stored."""

    entry: Entry
    recipe: str
    failure: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Uri:
    uri: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tenant:
    gone: bool


class SourceState(TenantWriter):
    """One source of a tenant. Every method raises `StoreUnavailable`, also when the lock's connection was lost."""

    def __init__(self, connection: psycopg.Connection[Any], tenant: TenantId, source: str) -> None:
        super().__init__(connection, tenant)
        self._source = source

    def lock(self) -> bool:
        """Whether this run is now the only one at the source. The lock ends with the connection."""
        bound = {"tenant_id": self._tenant, "source": self._source}
        with store_errors():
            row = self._connection.execute(_statement("lock_source").query, bound).fetchone()
        return row == (True,)

    def check_tenant(self) -> None:
        """Raises `TenantLeaving` where the tenant is being deleted, or was: a source does not bring it back."""
        with self._transaction():
            [tenant] = self._rows(_Tenant, _statement("tenant_gone"))
        if tenant.gone:
            raise TenantLeaving(
                "this tenant was deleted: take its sources out, or make it anew by 'pincite keys create'"
            )

    def begin(self) -> None:
        """Notes that a run began."""
        with self._transaction():
            self._run(_statement("begin_sync"), source=self._source, started_at=datetime.now(UTC))

    def end(self, outcome: str) -> None:
        """Notes how the run ended."""
        with self._transaction():
            self._run(_statement("end_sync"), source=self._source, outcome=outcome)

    def last(self) -> LastSync | None:
        """The source's last run, None before the first."""
        with self._transaction():
            found = self._rows(LastSync, _statement("last_sync"), source=self._source)
        return found[0] if found else None

    def items(self) -> dict[str, Item]:
        """What is known of the source, by uri."""
        with self._transaction():
            return {item.uri: item for item in self._rows(Item, _statement("sync_items"), source=self._source)}

    def claim(self, entries: Sequence[Entry]) -> frozenset[str]:
        """Takes the uris for this source before anything is stored under them: a run that is killed then leaves no
        document that no source knows of. The uris that are its own; the others belong to another source.

        Raises `TenantLeaving` also where the tenant is gone by now.
        """
        claimed = Jsonb([{"uri": entry.uri, "path": entry.path} for entry in entries])
        try:
            with self._transaction():
                found = self._rows(_Uri, _statement("claim_items"), source=self._source, claimed=claimed)
        except ForeignKeyViolation as error:
            raise TenantLeaving("this tenant was deleted meanwhile") from error
        return frozenset(row.uri for row in found)

    def record(self, outcomes: Sequence[Recorded]) -> None:
        """Notes the state of what was stored, so that it need not be read again while it stays."""
        if not outcomes:
            return
        with self._transaction():
            self._run(_statement("record_items"), source=self._source, recorded=Jsonb([*map(_row, outcomes)]))

    def forget(self, uris: Sequence[str]) -> None:
        """The uris belong to nobody any more."""
        with self._transaction():
            self._run(_statement("forget_items"), source=self._source, uris=list(uris))


@contextmanager
def open_state(dsn: str, tenant: TenantId, source: str) -> Iterator[SourceState]:
    """The state of one source, over a connection of its own. Raises `StoreUnavailable`."""
    with locking(dsn) as connection:
        yield SourceState(connection, tenant, source)


def _row(outcome: Recorded) -> Mapping[str, object]:
    return {
        "uri": outcome.entry.uri,
        "marker": outcome.entry.marker,
        "recipe": outcome.recipe,
        "failure": outcome.failure,
        "message": outcome.message,
        "remembered": dict(outcome.entry.remembered),
    }


def _statement(name: str) -> TenantStatement:
    return tenant_statement("ingest.syncing", name)
