"""Reads what is to be cut anew, and writes the cuts into a generation that is not (yet, or any more) live."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg

from ingest.cuts import Cut, kept_blocks
from ingest.domain import Document
from ingest.parsing.kept import found_blocks
from ingest.store import TenantWriter
from retrieval.access import TenantId
from retrieval.database.errors import store_errors
from retrieval.database.generations import Generation
from retrieval.database.statements import TenantStatement, reference_statement, tenant_statement
from retrieval.errors import UnreadableDocument

_AT_ONCE = 1000
_NONE = UUID(int=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptDocument:
    """A stored document, as it was handed over to be cut."""

    document_id: UUID
    version: int
    language: str
    document: Document


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    document_id: UUID
    version: int
    title: str
    language: str
    content_type: str
    content: str
    page_starts: list[int]
    blocks: list[list[Any]] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Id:
    document_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class _Words:
    key: bytes
    context: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Version:
    document_id: UUID
    version: int


class GenerationWriter(TenantWriter):
    """Writes one tenant's part of a generation. It is the one whom other writers wait for, so it waits for no move."""

    def __init__(self, connection: psycopg.Connection[Any], tenant: TenantId, generation: Generation) -> None:
        super().__init__(connection, tenant, generation.generation_id)

    def pending(self) -> Iterator[UUID]:
        """Documents that the generation does not hold as they are. Raises `StoreUnavailable`."""
        after = _NONE
        while found := self._pending_after(after):
            yield from found
            after = found[-1]

    def read(self, document_id: UUID) -> KeptDocument | None:
        """The document as it is now; None where it was removed. Raises `StoreUnavailable`."""
        with self._transaction():
            rows = self._rows(_Kept, _statement("document_text"), document_id=document_id)
        return _document(rows[0]) if rows else None

    def place(self, cuts: Sequence[Cut]) -> int:
        """Puts the cuts of documents that are still of that version into the generation, in one transaction; how many.

        One that the database refuses is a problem of its own. Raises `StoreUnavailable`, and `GenerationChanged` where
        the generation was dropped.
        """
        try:
            return self._place(cuts)
        except UnreadableDocument as error:
            if len(cuts) > 1:
                return sum(self.place([each]) for each in cuts)
            return self._place([cuts[0].without_chunks(error.reason)])

    def kept_words(self, document_id: UUID, keys: Sequence[bytes]) -> dict[bytes, str]:
        """What is kept of where the document's chunks stand, of these keys. Raises `StoreUnavailable`."""
        with self._transaction():
            known = tenant_statement("ingest", "known_contexts")
            found = self._rows(_Words, known, document_id=document_id, keys=list(keys))
        return {each.key: each.context for each in found}

    def forget_outdated(self, recipes: Sequence[str]) -> None:
        """What was cut by other recipes, or could not be, counts as not yet cut. Raises like `place()`."""
        forgotten = True
        while forgotten:
            with self._turn():
                found = self._rows(_Id, _statement("outdated_cuts"), recipes=list(recipes), limit=_AT_ONCE)
                forgotten = bool(found)
                self._forget_cuts([each.document_id for each in found])

    def _place(self, cuts: Sequence[Cut]) -> int:
        with self._turn():
            ids = [each.document_id for each in cuts]
            found = self._rows(_Version, _statement("document_versions"), document_ids=ids)
            versions = {each.document_id: each.version for each in found}
            fresh = [each for each in cuts if versions.get(each.document_id) == each.version]
            self._forget_cuts([each.document_id for each in fresh])
            self._put_cuts(fresh)
            self._count_principals([each.document_id for each in fresh], sign=1)
            return len(fresh)

    def _forget_cuts(self, documents: Sequence[UUID]) -> None:
        self._count_principals(documents, sign=-1)
        self._remove_cuts(documents)

    def _pending_after(self, after: UUID) -> list[UUID]:
        with self._looking():
            found = self._rows(_Id, _statement("pending_documents"), after=after, limit=_AT_ONCE)
        return [each.document_id for each in found]

    def _wait_for_a_move(self) -> None:
        """Nobody else moves the index."""


def tenants(connection: psycopg.Connection[Any]) -> list[TenantId]:
    """Every tenant. Raises `StoreUnavailable`."""
    with store_errors():
        rows = connection.execute(reference_statement("ingest.generations", "tenants").query).fetchall()
    return [TenantId(str(row[0])) for row in rows]


def _document(kept: _Kept) -> KeptDocument:
    blocks = found_blocks(kept.content_type, kept.content) if kept.blocks is None else kept_blocks(kept.blocks)
    return KeptDocument(
        document_id=kept.document_id,
        version=kept.version,
        language=kept.language,
        document=Document(
            title=kept.title,
            text=kept.content,
            blocks=blocks,
            page_starts=tuple(kept.page_starts),
            content_type=kept.content_type,
        ),
    )


def _statement(name: str) -> TenantStatement:
    return tenant_statement("ingest.generations", name)
