"""Changing and taking away documents by hand: what is stored of them and what is on its way, in one transaction.

A worker that has a document meanwhile finds that it is no longer its own, and settles nothing of it.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from ingest.domain import Metadata
from ingest.queueing.ending import hold
from ingest.queueing.line import Line
from retrieval.database.statements import TenantStatement, tenant_statement
from retrieval.database.store import set_local
from retrieval.errors import InvalidFilter, NotFound, PreconditionFailed
from retrieval.search.narrowing import Narrowing

_PATIENCE_MS = 10_000
"""Waits for other writers are given up: somebody waits for the answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """New permissions and metadata; None: as they are. `only_if`: the states that it is meant for; None: any."""

    acl: frozenset[str] | None
    metadata: Metadata | None
    only_if: frozenset[str] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stored:
    uri: str
    version: int
    acl: list[str]
    metadata: dict[str, Any]
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class _Redescribed:
    uri: str
    acl: frozenset[str]
    metadata: Metadata


@dataclass(frozen=True, slots=True, kw_only=True)
class _Named:
    document_id: UUID
    uri: str


def state_of(version: int, updated_at: datetime) -> str:
    """A name for the state that a stored document is in: another text, other permissions or metadata are another."""
    return f"{version}-{round(updated_at.timestamp() * 1_000_000):x}"


class Curator(Line):
    """A tenant's line, and its documents. Every method raises `StoreUnavailable`."""

    def change(self, document_id: UUID, change: Change) -> None:
        """Gives the document new permissions or metadata, also the states of it that are on their way or failed:
        tried again, those must not bring the old ones back. Seen by the next search.

        Raises `NotFound`, and `PreconditionFailed` when it is in none of the states that the change is meant for.
        """
        with self._turn():
            hold(self._on, [document_id])
            stored = self._rows(_Stored, _statement("stored_document"), document_id=document_id)
            _check(change, stored)
            on_its_way = self._run(
                _statement("describe_revisions"),
                document_id=document_id,
                acl=None if change.acl is None else sorted(change.acl),
                metadata=None if change.metadata is None else Jsonb(dict(change.metadata)),
            )
            if not stored and not on_its_way:
                raise NotFound("no such document")
            self.describe([_redescribed(before, change) for before in stored])
            if on_its_way:
                self._run(_statement("wake"))

    def existing(self, documents: Sequence[UUID]) -> int:
        """How many of the documents are stored or on their way."""
        with self._transaction():
            return len(self._rows(_Named, _statement("existing_documents"), document_ids=list(documents)))

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with super()._transaction():
            self._connection.execute(set_local("lock_timeout", _PATIENCE_MS))
            yield


def check_of_documents(narrowing: Narrowing) -> None:
    """Raises `InvalidFilter` for a filter about parts of documents."""
    if narrowing.chunk_filter is not None:
        raise InvalidFilter("page, section: are of passages; documents are chosen by what they are as a whole")


def _check(change: Change, stored: Sequence[_Stored]) -> None:
    states = {state_of(document.version, document.updated_at) for document in stored}
    if change.only_if is not None and states.isdisjoint(change.only_if):
        raise PreconditionFailed("the document is not in the state that If-Match names: read it again")


def _redescribed(before: _Stored, change: Change) -> _Redescribed:
    return _Redescribed(
        uri=before.uri,
        acl=frozenset(before.acl) if change.acl is None else change.acl,
        metadata=before.metadata if change.metadata is None else change.metadata,
    )


def _statement(name: str) -> TenantStatement:
    return tenant_statement("ingest.queueing", name)
