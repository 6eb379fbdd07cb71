"""What the ingest path writes: a few documents per transaction, everything of each or nothing.

Into the live generation of the index; in every other one the documents then count as not yet cut.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid5

from pgvector.psycopg import register_vector
from psycopg.types.json import Jsonb

from ingest.cuts import STAGED_TYPES, Cut, blocks_row, cut_row, staged_rows
from ingest.domain import Chunk, SourceFile
from ingest.examining import Parsed
from ingest.turns import Standing, TenantTurns, connected
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
        return frozenset(self.acl) == source.acl and _typed(self.metadata) == _typed(source.metadata)


def _typed(metadata: Mapping[str, Any]) -> dict[str, tuple[bool, Any]]:
    """To Python, 1 equals True."""
    return {key: (isinstance(value, bool), value) for key, value in metadata.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedDocument:
    """A parsed document, its chunks, by which recipe it was cut, and a vector for each."""

    parsed: Parsed
    chunks: tuple[Chunk, ...]
    recipe: str
    vectors: Vectors


@dataclass(frozen=True, slots=True, kw_only=True)
class _StoredDocument:
    uri: str
    document_id: UUID
    version: int


class TenantWriter(TenantTurns):
    """Writes one tenant's documents over one connection; use it from one thread at a time."""

    def known_documents(self) -> dict[str, KnownDocument]:
        """All of the tenant's documents by uri. Raises `StoreUnavailable`."""
        with self._transaction():
            self._enter(self._standing().live)
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
            self._take_away(standing, [stored.document_id for stored in before.values()])
            rows = [self._document_row(made, before.get(made.parsed.source.uri)) for made in documents]
            self._run_each(_statement("put_document"), rows)
            self._put_cuts([_cut(made, row) for made, row in zip(documents, rows, strict=True)])
            added = [row["document_id"] for row in rows]
            self._enlist(standing, added)
            self._withdraw(added)
            self._forget(added)

    def describe(self, sources: Sequence[SourceFile]) -> frozenset[str]:
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

    def remove(self, uri: str) -> None:
        """Takes the document away with all that came from it. Raises `StoreUnavailable`."""
        with self._turn() as standing:
            documents = [stored.document_id for stored in self._stored([uri]).values()]
            self._take_away(standing, documents)
            self._run(_statement("remove_documents"), document_ids=documents)
            self._withdraw(documents)
            self._forget(documents)

    def _stored(self, uris: Iterable[str]) -> dict[str, _StoredDocument]:
        found = self._rows(_StoredDocument, _statement("stored_documents"), uris=list(uris))
        return {stored.uri: stored for stored in found}

    def _document_row(self, made: EmbeddedDocument, before: _StoredDocument | None) -> dict[str, Any]:
        source, document = made.parsed.source, made.parsed.document
        return {
            "document_id": uuid5(_DOCUMENT_IDS, f"{self._tenant}/{source.uri}"),
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
            "blocks": Jsonb(blocks_row(document.blocks)),
            "updated_at": datetime.now(UTC),
        }

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

    def _enlist(self, standing: Standing, documents: Sequence[UUID]) -> None:
        """Enters the documents where searches look them up by permission and by field, and in their counts."""
        self._run(_statement("put_grants"), document_ids=documents)
        for _ in self._in_each(standing):
            self._count_principals(documents, sign=1)
        self._run(_statement("put_fields"), document_ids=documents)
        self._run(_statement("count_fields"), document_ids=documents, sign=1)

    def _delist(self, standing: Standing, documents: Sequence[UUID]) -> None:
        self._run(_statement("count_fields"), document_ids=documents, sign=-1)
        for _ in self._in_each(standing):
            self._count_principals(documents, sign=-1)
        self._run(_statement("remove_grants"), document_ids=documents)

    def _withdraw(self, documents: Sequence[UUID]) -> None:
        """Takes back the answers that show the documents. Late: until the end nobody can write those rows."""
        self._run(_statement("withdraw_kept"), document_ids=documents)

    def _forget(self, documents: Sequence[UUID]) -> None:
        """Drops kept answers that cite the documents. Last: who keeps one holds its documents, and is waited for."""
        self._run(_statement("forget_answers"), document_ids=documents)

    def _count(self, documents: Sequence[UUID], *, sign: int) -> None:
        self._run(_statement("count_terms"), document_ids=documents, sign=sign)
        self._run(_statement("count_chunks"), document_ids=documents, sign=sign)

    def _count_principals(self, documents: Sequence[UUID], *, sign: int) -> None:
        """In the generation entered."""
        self._run(_statement("count_principals"), document_ids=documents, sign=sign)


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
