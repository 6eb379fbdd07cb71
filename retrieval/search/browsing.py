"""Documents read without a question, as far as the caller may see them and a filter allows: one's parts, or a list."""

from dataclasses import dataclass
from uuid import UUID

from retrieval.access import Caller
from retrieval.database.statements import tenant_statement
from retrieval.database.store import Store
from retrieval.domain import Passage
from retrieval.search.chunks import StoredChunk
from retrieval.search.narrowing import Narrowing

_PARTS = tenant_statement("retrieval.search", "document_parts")
_DOCUMENTS = tenant_statement("retrieval.search", "visible_documents")


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A document's entry in a list."""

    document_id: UUID
    version: int
    title: str
    uri: str


async def parts(
    store: Store, caller: Caller, document_id: UUID, narrowing: Narrowing, *, start: int, limit: int
) -> tuple[Passage, ...]:
    """At most `limit` of the document's chunks in its order, from the ordinal `start` on. Raises `StoreUnavailable`."""
    async with store.session(caller) as session:
        rows = await session.rows(
            StoredChunk, _PARTS, document_id=document_id, start=start, limit=limit, **narrowing.parameters
        )
    return tuple(row.passage for row in rows)


async def documents(
    store: Store, caller: Caller, narrowing: Narrowing, *, containing: str, start: int, limit: int
) -> tuple[Listed, ...]:
    """At most `limit` documents by uri, past the first `start`: those whose title or uri contains this text.

    Raises `StoreUnavailable`.
    """
    async with store.session(caller) as session:
        rows = await session.rows(
            Listed, _DOCUMENTS, containing=containing, start=start, limit=limit, **narrowing.parameters
        )
    return tuple(rows)
