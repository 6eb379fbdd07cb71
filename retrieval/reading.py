"""Reading documents as a caller: one whole, a list of them, or whether a citation into one holds."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from retrieval.access import Caller
from retrieval.database.statements import tenant_statement
from retrieval.database.store import Store
from retrieval.domain import Citation
from retrieval.engine import Engine
from retrieval.errors import NotFound
from retrieval.search.narrowing import Narrowing

_DOCUMENT = tenant_statement("retrieval", "document")
_LIST = tenant_statement("retrieval", "list_documents")
_STANDING = tenant_statement("retrieval", "standing_citations")


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentSummary:
    """What is told of a document in a list."""

    document_id: UUID
    uri: str
    title: str
    content_type: str
    language: str
    metadata: dict[str, Any]
    version: int
    chunk_count: int
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredDocument(DocumentSummary):
    """A document as stored: the text that passages' and citations' offsets count in."""

    text: str
    page_starts: list[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Standing:
    position: int


async def read_document(engine: Engine, caller: Caller, document_id: UUID) -> StoredDocument:
    """The document. Raises `NotFound`, also when it exists but the caller may not see it; `StoreUnavailable`."""
    async with engine.store.session(caller) as session:
        documents = await session.rows(StoredDocument, _DOCUMENT, document_id=document_id)
    if not documents:
        raise NotFound("no such document")
    return documents[0]


async def list_documents(
    store: Store, caller: Caller, narrowing: Narrowing, *, prefix: str, after: str, most: int
) -> list[DocumentSummary]:
    """At most so many documents whose uri begins so, by uri, after the given one. Raises `StoreUnavailable`."""
    async with store.session(caller) as session:
        return await session.rows(DocumentSummary, _LIST, prefix=prefix, after=after, most=most, **narrowing.parameters)


async def standing(store: Store, caller: Caller, citations: Sequence[Citation]) -> list[bool]:
    """For each citation, whether it holds at this moment: the caller may see the document, and the quote is there.

    Raises `StoreUnavailable`.
    """
    if not citations:
        return []
    async with store.session(caller) as session:
        rows = await session.rows(
            _Standing,
            _STANDING,
            document_ids=[citation.document_id for citation in citations],
            versions=[citation.version for citation in citations],
            char_starts=[citation.char_start for citation in citations],
            char_ends=[citation.char_end for citation in citations],
            quotes=[citation.quote for citation in citations],
            redacted=[citation.redacted for citation in citations],
        )
    holding = {row.position for row in rows}
    return [position in holding for position in range(1, len(citations) + 1)]
