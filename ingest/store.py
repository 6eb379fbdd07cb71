"""What the ingest path writes: a few documents per transaction, everything of each or nothing.

Into the live generation of the index; in every other one the documents then count as not yet cut.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid5

from pgvector.psycopg import register_vector
from psycopg import sql
from psycopg.types.json import Jsonb

from ingest.cuts import STAGED_TYPES, Cut, blocks_row, cut_row, staged_rows
from ingest.deleting.belongings import GO_WITH_A_DOCUMENT, SHOWING, Belonging
from ingest.domain import Chunk, Described, SourceFile
from ingest.examining import Parsed
from ingest.queueing.ending import call_off
from ingest.transactions import Standing, TenantTransactions, connected
from ingest.webhooks.events import Event, announce
from retrieval.access import TenantId
from retrieval.database.errors import store_errors
from retrieval.database.statements import TenantStatement, reference_statement, tenant_statement
from retrieval.errors import GenerationChanged
from retrieval.models.protocols import Vectors

_DOCUMENT_IDS = UUID("5b0d2c2e-0f6c-4b39-9d2c-6a1f6f6f3c11")
"""Namespace: a document's id follows from its tenant and uri, so that a rebuilt index orders ties the same way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownDocument:
    """A document the tenant already has."""

    uri: str
    document_id: UUID
    fingerprint: bytes
    acl: list[str]
    metadata: dict[str, Any]
    recipe: str

    def described_as(self, source: SourceFile) -> bool:
        """True when permissions and metadata are the ones its owner gives now."""
        return frozenset(self.acl) == source.acl and typed(self.metadata) == typed(source.metadata)


def typed(metadata: Mapping[str, Any]) -> dict[str, tuple[bool, Any]]:
    """The metadata, comparable: to Python, 1 equals True."""
    return {key: (isinstance(value, bool), value) for key, value in metadata.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedDocument:
    """A parsed document, its chunks, by which recipe it was cut, a vector for each, and what was written of where they
    stand, by key."""

    parsed: Parsed
    chunks: tuple[Chunk, ...]
    recipe: str
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
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Floor:
    version: int


class TenantWriter(TenantTransactions):
    """Writes one tenant's documents over one connection; use it from one thread at a time."""

    def known_documents(self) -> dict[str, KnownDocument]:
        """All of the tenant's documents by uri. Raises `StoreUnavailable`."""
        with self._looking():
            return {known.uri: known for known in self._rows(KnownDocument, _statement("known_documents"))}

    def replace(self, documents: Sequence[EmbeddedDocument], generation_id: int) -> None:
        """Puts the documents in place of what was there under their uris, in one transaction: the words' counts are
        shared rows, so that a few documents together cost less than one by one. They were embedded for this generation.

        Searchers see the old ones or the new ones, never a half. Raises `StoreUnavailable`, `GenerationChanged` where
        another generation is live by now, and `UnreadableDocument` when Postgres refuses the content of one: then none
        is stored.
        """
        with self._turn() as standing:
            _check_live(standing, generation_id)
            before = self._stored(made.parsed.source.uri for made in documents)
            [floor] = self._rows(_Floor, _statement("version_floor"))
            self._take_away(standing, [stored.document_id for stored in before.values()])
            placed = [(document_id_of(self._tenant, made.parsed.source.uri), made) for made in documents]
            versions = [_version_after(before.get(made.parsed.source.uri), floor) for made in documents]
            rows = [_document_row(*each, version) for each, version in zip(placed, versions, strict=True)]
            self._run_each(_statement("put_document"), rows)
            self._keep_written(placed)
            self._put_cuts([_cut(made, row) for made, row in zip(documents, rows, strict=True)])
            added = [document_id for document_id, _ in placed]
            self._enlist(standing, added)
            self._withdraw(added)
            self._forget(added)

    def describe(self, sources: Sequence[Described]) -> frozenset[str]:
        """New permissions and metadata, the texts untouched, in one transaction: seen by the next search. The uris
        that are still there.

        Raises `StoreUnavailable`, and `UnreadableDocument` when Postgres refuses the metadata of one.
        """
        with self._turn() as standing:
            found = self._stored(source.uri for source in sources)
            documents = [stored.document_id for stored in found.values()]
            self._delist(standing, documents)
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
            self._enlist(standing, documents)
            self._forget(documents)
            return frozenset(found)

    def remove(self, *uris: str) -> int:
        """Takes the documents away with all that came from them. How many were there. Raises `StoreUnavailable`."""
        with self._turn() as standing:
            return self._discard(standing, [document_id_of(self._tenant, uri) for uri in uris])["documents"]

    def _discard(self, standing: Standing, documents: Sequence[UUID]) -> dict[str, int]:
        """Takes the documents away with all that came from them: how many rows of each table, in all generations."""
        call_off(self._on, documents)
        gone = self._rows(_Present, _statement("present_documents"), document_ids=documents)
        announce(
            self._run, [Event(type="document.deleted", data={"document_id": str(one.document_id)}) for one in gone]
        )
        if gone:
            self._run(_statement("raise_floor"), version=max(one.version for one in gone))
        self._uncount(standing, documents)
        for _ in self._in_each(standing):
            self._count(documents, sign=-1)
            self._run(_leaving("drop_uncounted_terms"), document_ids=documents)
            self._drop_uncounted("principal_statistics", "chunk_count")
        self._drop_uncounted("field_statistics", "document_count")
        return {part.table: self._part_removed(standing, part, documents) for part in GO_WITH_A_DOCUMENT}

    def _drop_uncounted(self, table: str, count: str) -> None:
        named = {"table": sql.Identifier(table), "count": sql.Identifier(count)}
        self._run(_leaving("drop_uncounted").composed(**named))

    def _part_removed(self, standing: Standing, part: Belonging, documents: Sequence[UUID]) -> int:
        times = self._in_each(standing) if part.of_generations else (None,)
        return sum(self._run(part.removing, document_ids=documents) for _ in times)

    def _stored(self, uris: Iterable[str]) -> dict[str, _StoredDocument]:
        found = self._rows(_StoredDocument, _statement("stored_documents"), uris=list(uris))
        return {stored.uri: stored for stored in found}

    def _keep_written(self, documents: Iterable[tuple[UUID, EmbeddedDocument]]) -> None:
        rows = [(document_id, *pair) for document_id, made in documents for pair in made.written.items()]
        if rows:
            document_ids, keys, contexts = map(list, zip(*rows, strict=True))
            self._run(_statement("add_contexts"), document_ids=document_ids, keys=keys, contexts=contexts)

    def _put_cuts(self, cuts: Sequence[Cut]) -> None:
        """Adds what documents are cut into to the generation entered, and to its counts."""
        self._run_each(_statement("put_cut"), map(cut_row, cuts))
        self._run(_statement("create_staging"))
        with self._connection.cursor() as cursor, cursor.copy(_statement("stage_chunks").query) as copy:
            copy.set_types(STAGED_TYPES)
            for row in staged_rows(cuts):
                copy.write_row(row)
        for name in ("add_chunks", "add_embeddings", "add_terms"):
            self._run(_statement(name))
        self._count([cut.document_id for cut in cuts], sign=1)

    def _remove_cuts(self, documents: Sequence[UUID]) -> None:
        """Takes them from the generation entered, and from its counts; those of permissions are counted apart."""
        self._count(documents, sign=-1)
        self._run(_statement("remove_cuts"), document_ids=documents)

    def _take_away(self, standing: Standing, documents: Sequence[UUID]) -> None:
        if documents:
            self._delist(standing, documents)
            for _ in self._in_each(standing):
                self._remove_cuts(documents)
            self._run(_statement("remove_contexts"), document_ids=documents)

    def _enlist(self, standing: Standing, documents: Sequence[UUID]) -> None:
        """Enters the documents where searches look them up by permission and by field, and in their counts."""
        self._run(_statement("put_grants"), document_ids=documents)
        for _ in self._in_each(standing):
            self._count_principals(documents, sign=1)
        self._run(_statement("put_fields"), document_ids=documents)
        self._run(_statement("count_fields"), document_ids=documents, sign=1)

    def _delist(self, standing: Standing, documents: Sequence[UUID]) -> None:
        self._uncount(standing, documents)
        self._run(_statement("remove_grants"), document_ids=documents)

    def _uncount(self, standing: Standing, documents: Sequence[UUID]) -> None:
        """Takes them from the counts of fields, and of permissions."""
        self._run(_statement("count_fields"), document_ids=documents, sign=-1)
        for _ in self._in_each(standing):
            self._count_principals(documents, sign=-1)

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

    def _count_principals(self, documents: Sequence[UUID], *, sign: int) -> None:
        """In the generation entered."""
        self._run(_statement("count_principals"), document_ids=documents, sign=sign)


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


def _version_after(before: _StoredDocument | None, floor: _Floor) -> int:
    """A version that no document of this id ever had."""
    return (before or floor).version + 1


def _document_row(document_id: UUID, made: EmbeddedDocument, version: int) -> dict[str, Any]:
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
        "version": version,
        "blocks": Jsonb(blocks_row(document.blocks)),
        "updated_at": datetime.now(UTC),
    }


def _cut(made: EmbeddedDocument, row: Mapping[str, Any]) -> Cut:
    return Cut(
        document_id=row["document_id"],
        version=row["version"],
        language=made.parsed.language,
        recipe=made.recipe,
        chunks=made.chunks,
        vectors=made.vectors,
    )


def _check_live(standing: Standing, generation_id: int) -> None:
    if standing.live != generation_id:
        raise GenerationChanged("the index has moved to another model meanwhile: try again, with that one")


def _statement(name: str) -> TenantStatement:
    return tenant_statement("ingest", name)


def _leaving(name: str) -> TenantStatement:
    return tenant_statement("ingest.deleting", name)
