"""Reading a whole document, as a caller."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from retrieval.access import Caller
from retrieval.database.statements import tenant_statement
from retrieval.database.store import Store
from retrieval.engine import Engine
from retrieval.errors import NotFound

_DOCUMENT = tenant_statement("retrieval", "document")
_VISIBLE = tenant_statement("retrieval", "visible_documents")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredDocument:
    """A document as stored: the text that passages' and citations' offsets count in."""

    document_id: UUID
    uri: str
    title: str
    text: str
    content_type: str
    language: str
    metadata: dict[str, Any]
    page_starts: list[int]
    version: int
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class _VisibleDocument:
    document_id: UUID


async def read_document(engine: Engine, caller: Caller, document_id: UUID) -> StoredDocument:
    """The document. Raises `NotFound`, also when it exists but the caller may not see it; `StoreUnavailable`."""
    async with engine.store.session(caller) as session:
        documents = await session.rows(StoredDocument, _DOCUMENT, document_id=document_id)
    if not documents:
        raise NotFound("no such document")
    return documents[0]


async def visible_documents(store: Store, caller: Caller, document_ids: Iterable[UUID]) -> frozenset[UUID]:
    """Those of the documents that the caller may see at this moment. Raises `StoreUnavailable`."""
    async with store.session(caller) as session:
        rows = await session.rows(_VisibleDocument, _VISIBLE, document_ids=list(document_ids))
    return frozenset(row.document_id for row in rows)
