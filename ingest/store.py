"""What the ingest path writes: a few documents per transaction, everything of each or nothing."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID, uuid5

import psycopg
from pgvector import HalfVector
from pgvector.psycopg import register_vector
from psycopg import sql
from psycopg.types.json import Jsonb

from ingest.deleting.belongings import GO_WITH_A_DOCUMENT, SHOWING
from ingest.domain import Chunk, Described, SourceFile
from ingest.examining import Parsed
from ingest.queueing.ending import call_off
from ingest.rows import TenantRows
from ingest.webhooks.events import Event, announce
from retrieval.access import TenantId
from retrieval.database.connecting import connect
from retrieval.database.errors import store_errors
from retrieval.database.statements import TenantStatement, reference_statement, tenant_statement
from retrieval.database.store import tenant_entry
from retrieval.errors import UnreadableDocument
from retrieval.models.protocols import Vectors

Row = TypeVar("Row")

_DOCUMENT_IDS = UUID("5b0d2c2e-0f6c-4b39-9d2c-6a1f6f6f3c11")
"""Namespace: a document's id follows from its tenant and uri, so that a rebuilt index orders ties the same way."""
_STATEMENT_SECONDS = 300.0
"""One statement's clock while writing: the words of a book-sized document take seconds."""
_STAGED_TYPES = (
    "uuid", "text", "int4", "text[]", "jsonb", "text", "text", "text", "int4", "int4", "int4", "int4", "int4[]", "int4",
    "halfvec",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownDocument:
    """A document the tenant already has."""

    uri: str
    document_id: UUID
    fingerprint: bytes
    acl: list[str]
    metadata: dict[str, Any]

    def described_as(self, source: SourceFile) -> bool:
        """True when permissions and metadata are the ones its owner gives now."""
        return frozenset(self.acl) == source.acl and typed(self.metadata) == typed(source.metadata)


def typed(metadata: Mapping[str, Any]) -> dict[str, tuple[bool, Any]]:
    """The metadata, comparable: to Python, 1 equals True."""
    return {key: (isinstance(value, bool), value) for key, value in metadata.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedDocument:
    """A parsed document, its chunks, a vector for each, and what was written of where they stand, by key."""

    parsed: Parsed
    chunks: tuple[Chunk, ...]
    vectors: Vectors
    written: Mapping[bytes, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class _StoredDocument:
    uri: str
    document_id: UUID
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Present:
    document_id: UUID


class TenantWriter:
    """Writes one tenant's documents over one connection; use it from one thread at a time."""

    def __init__(self, connection: psycopg.Connection[Any], tenant: TenantId) -> None:
        self._connection = connection
        self._tenant = tenant
        self._on = TenantRows(connection, tenant)

    def known_documents(self) -> dict[str, KnownDocument]:
        """All of the tenant's documents by uri. Raises `StoreUnavailable`."""
        with self._transaction():
            return {known.uri: known for known in self._rows(KnownDocument, _statement("known_documents"))}

    def replace(self, documents: Sequence[EmbeddedDocument]) -> None:
        """Puts the documents in place of what was there under their uris, in one transaction: the words' counts are
        shared rows, so that a few documents together cost less than one by one.

        Searchers see the old ones or the new ones, never a half. Raises `StoreUnavailable`, and
        `UnreadableDocument` when Postgres refuses the content of one: then none is stored.
        """
        with self._turn():
            before = self._stored(made.parsed.source.uri for made in documents)
            self._take_away([stored.document_id for stored in before.values()])
            placed = [(document_id_of(self._tenant, made.parsed.source.uri), made) for made in documents]
            self._run_each(
                _statement("put_document"),
                (_document_row(document_id, made, before.get(made.parsed.source.uri)) for document_id, made in placed),
            )
            self._keep_written(placed)
            self._stage(placed)
            for name in ("add_chunks", "add_embeddings", "add_terms"):
                self._run(_statement(name))
            added = [document_id for document_id, _ in placed]
            self._count(added, sign=1)
            self._enlist(added)
            self._withdraw(added)
            self._forget(added)

    def describe(self, sources: Sequence[Described]) -> frozenset[str]:
        """New permissions and metadata, the texts untouched, in one transaction: seen by the next search. The uris
        that are still there.

        Raises `StoreUnavailable`, and `UnreadableDocument` when Postgres refuses the metadata of one.
        """
        with self._turn():
            found = self._stored(source.uri for source in sources)
            documents = [stored.document_id for stored in found.values()]
            self._delist(documents)
            described = [
                {
                    "document_id": str(found[source.uri].document_id),
                    "acl": sorted(source.acl),
                    "metadata": dict(source.metadata),
                }
                for source in sources
                if source.uri in found
            ]
            self._run(_statement("describe_documents"), described=Jsonb(described), updated_at=datetime.now(UTC))
            self._enlist(documents)
            self._forget(documents)
            return frozenset(found)

    def remove(self, *uris: str) -> int:
        """Takes the documents away with all that came from them. How many were there. Raises `StoreUnavailable`."""
        with self._turn():
            return self._discard([self._document_id(uri) for uri in uris])["documents"]

    def _discard(self, documents: Sequence[UUID]) -> dict[str, int]:
        """Takes the documents away with all that came from them: how many rows of each table."""
        call_off(self._on, documents)
        gone = self._rows(_Present, _statement("present_documents"), document_ids=documents)
        announce(
            self._run, [Event(type="document.deleted", data={"document_id": str(one.document_id)}) for one in gone]
        )
        self._uncount(documents)
        self._count(documents, sign=-1)
        self._run(_leaving("drop_uncounted_terms"), document_ids=documents)
        for table, count in (("field_statistics", "document_count"), ("principal_statistics", "chunk_count")):
            named = {"table": sql.Identifier(table), "count": sql.Identifier(count)}
            self._run(_leaving("drop_uncounted").composed(**named))
        return {part.table: self._run(part.removing, document_ids=documents) for part in GO_WITH_A_DOCUMENT}

    def _stored(self, uris: Iterable[str]) -> dict[str, _StoredDocument]:
        found = self._rows(_StoredDocument, _statement("stored_documents"), uris=list(uris))
        return {stored.uri: stored for stored in found}

    def _document_id(self, uri: str) -> UUID:
        return document_id_of(self._tenant, uri)

    def _keep_written(self, documents: Iterable[tuple[UUID, EmbeddedDocument]]) -> None:
        rows = [(document_id, *pair) for document_id, made in documents for pair in made.written.items()]
        if rows:
            document_ids, keys, contexts = map(list, zip(*rows, strict=True))
            self._run(_statement("add_contexts"), document_ids=document_ids, keys=keys, contexts=contexts)

    def _stage(self, documents: Iterable[tuple[UUID, EmbeddedDocument]]) -> None:
        self._run(_statement("create_staging"))
        with self._connection.cursor() as cursor, cursor.copy(_statement("stage_chunks").query) as copy:
            copy.set_types(_STAGED_TYPES)
            for document_id, made in documents:
                for chunk, vector in zip(made.chunks, made.vectors, strict=True):
                    copy.write_row((document_id, made.parsed.language, *_staged(chunk, vector)))

    def _take_away(self, documents: Sequence[UUID]) -> None:
        if documents:
            self._delist(documents)
            self._count(documents, sign=-1)
            self._run(_statement("remove_chunks"), document_ids=documents)
            self._run(_statement("remove_contexts"), document_ids=documents)

    def _enlist(self, documents: Sequence[UUID]) -> None:
        """Enters the documents where searches look them up by permission and by field, and in their counts."""
        self._run(_statement("put_grants"), document_ids=documents)
        self._run(_statement("count_principals"), document_ids=documents, sign=1)
        self._run(_statement("put_fields"), document_ids=documents)
        self._run(_statement("count_fields"), document_ids=documents, sign=1)

    def _delist(self, documents: Sequence[UUID]) -> None:
        self._uncount(documents)
        self._run(_statement("remove_grants"), document_ids=documents)

    def _uncount(self, documents: Sequence[UUID]) -> None:
        self._run(_statement("count_fields"), document_ids=documents, sign=-1)
        self._run(_statement("count_principals"), document_ids=documents, sign=-1)

    def _withdraw(self, documents: Sequence[UUID]) -> None:
        """Takes back the answers that show the documents."""
        for part in SHOWING:
            self._run(part.removing, document_ids=documents)

    def _forget(self, documents: Sequence[UUID]) -> None:
        """Drops kept answers that cite the documents. Last: who keeps one holds its documents, and is waited for."""
        self._run(_leaving("forget_answers"), document_ids=documents)

    def _count(self, documents: Sequence[UUID], *, sign: int) -> None:
        self._run(_statement("count_terms"), document_ids=documents, sign=sign)
        self._run(_statement("count_chunks"), document_ids=documents, sign=sign)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """A transaction that waits until no other writer is at work in this tenant."""
        with self._transaction():
            self._run(_statement("lock_tenant"))
            try:
                yield
            except (psycopg.DataError, psycopg.IntegrityError) as error:
                raise UnreadableDocument("refused_by_database", str(error).split("\n", 1)[0]) from error

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with store_errors(), self._connection.transaction():
            for statement in tenant_entry(self._tenant, _STATEMENT_SECONDS):
                self._connection.execute(statement)
            yield

    def _rows(self, row: type[Row], statement: TenantStatement, **parameters: object) -> list[Row]:
        return self._on.rows(row, statement, **parameters)

    def _run(self, statement: TenantStatement, **parameters: object) -> int:
        return self._on.run(statement, **parameters)

    def _run_each(self, statement: TenantStatement, rows: Iterable[dict[str, object]]) -> None:
        """The statement for each row of parameters, without waiting for one before the next is sent."""
        with self._connection.cursor() as cursor:
            cursor.executemany(statement.query, [row | {"tenant_id": self._tenant} for row in rows])


def document_id_of(tenant: TenantId, uri: str) -> UUID:
    """The id that the tenant's document with this uri has, or would have."""
    return uuid5(_DOCUMENT_IDS, f"{tenant}/{uri}")


@contextmanager
def open_writer(dsn: str, tenant: TenantId) -> Iterator[TenantWriter]:
    """A writer for the tenant, over a connection of its own. Raises `StoreUnavailable`."""
    with connected(dsn) as connection:
        with store_errors():
            register_vector(connection)
        yield TenantWriter(connection, tenant)


def add_tenant(dsn: str, tenant: TenantId) -> None:
    """Makes sure the tenant exists. Raises `StoreUnavailable`."""
    with connected(dsn) as connection, store_errors():
        connection.execute(reference_statement("retrieval", "add_tenant").query, {"tenant_id": tenant})


@contextmanager
def connected(dsn: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection of its own, each statement a transaction. Raises `StoreUnavailable`."""
    with store_errors():
        connection = connect(dsn, autocommit=True)
    with connection:
        yield connection


def _document_row(document_id: UUID, made: EmbeddedDocument, before: _StoredDocument | None) -> dict[str, object]:
    source, document = made.parsed.source, made.parsed.document
    return {
        "document_id": document_id,
        "uri": source.uri,
        "title": document.title,
        "acl": sorted(source.acl),
        "metadata": Jsonb(dict(source.metadata)),
        "language": made.parsed.language,
        "content_type": document.content_type,
        "content": document.text,
        "page_starts": list(document.page_starts),
        "fingerprint": made.parsed.fingerprint,
        "version": before.version + 1 if before else 1,
        "chunk_count": len(made.chunks),
        "updated_at": datetime.now(UTC),
    }


def _staged(chunk: Chunk, vector: Vectors) -> tuple[object, ...]:
    return (
        chunk.ordinal,
        list(chunk.heading_path),
        Jsonb([asdict(section) for section in chunk.sections]),
        chunk.context,
        chunk.lead,
        chunk.text,
        chunk.char_start,
        chunk.char_end,
        chunk.first_page,
        chunk.last_page,
        list(chunk.page_starts),
        chunk.token_count,
        HalfVector(vector),
    )


def _statement(name: str) -> TenantStatement:
    return tenant_statement("ingest", name)


def _leaving(name: str) -> TenantStatement:
    return tenant_statement("ingest.deleting", name)
