"""Deleting documents, by uri, by id or by a filter: gone with all that came from them, with a receipt.

A few hundred documents per transaction, each with its part of the receipt: killed at any moment, what the receipt
counts is gone and what it does not count is whole.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

from ingest.deleting.belongings import statement
from ingest.deleting.receipts import Deletion, Receipt, asked_for, begun, closed, put_receipt, with_removed
from ingest.deleting.records import Records
from ingest.store import TenantWriter, document_id_of
from ingest.transactions import connected
from retrieval.errors import InvalidFilter, NotFound
from retrieval.filters import Filter
from retrieval.search.filtering import KNOWN_FIELDS, KnownField, held_against, own_fields
from retrieval.search.narrowing import ANYTHING, Narrowing

TOGETHER = 200
"""Documents that go in one transaction: other writers of the tenant wait for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """A document that a filter fits."""

    document_id: UUID
    chunk_count: int


def delete_documents(deletion: Deletion, *, uris: Iterable[str] = (), document_ids: Iterable[UUID] = ()) -> Receipt:
    """Deletes the documents of these uris and ids. Those that are not there are passed over.

    Raises `NotFound` when nothing of any of them is there, `StoreUnavailable`, and `TenantLeaving`.
    """
    named = {document_id_of(deletion.tenant, uri) for uri in uris} | set(document_ids)
    asked = asked_for(deletion.tenant, "documents", sorted(map(str, named)))
    with _remover(deletion) as remover:
        return _delete(deletion, remover, begun(deletion, "documents", asked), sorted(named), ANYTHING)


def delete_gone(deletion: Deletion, writer: TenantWriter, uris: Sequence[str]) -> Receipt | None:
    """Deletes over this writer's connection what is no longer at its source; None where nothing of it was there.

    Raises `StoreUnavailable`, and `TenantLeaving`.
    """
    gone = sorted(document_id_of(deletion.tenant, uri) for uri in uris)
    asked = asked_for(deletion.tenant, "documents", sorted(map(str, gone)))
    try:
        return _delete(deletion, writer.acting_as(_Remover), begun(deletion, "documents", asked), gone, ANYTHING)
    except NotFound:
        return None


def delete_matching(deletion: Deletion, wanted: Filter) -> Receipt:
    """Deletes the documents that fit the filter now, and still do when their turn comes.

    Raises `NotFound` when none does, `InvalidFilter`, also for one about parts of documents, `StoreUnavailable`, and
    `TenantLeaving`.
    """
    asked = asked_for(deletion.tenant, "filter", repr(wanted))
    with _remover(deletion) as remover:
        narrowing = remover.narrowed(wanted)
        documents = [match.document_id for match in remover.matching(narrowing)]
        return _delete(deletion, remover, begun(deletion, "filter", asked), documents, narrowing)


def find_matching(deletion: Deletion, wanted: Filter) -> list[Match]:
    """What `delete_matching()` would delete. Raises as it does, but `NotFound`."""
    with _remover(deletion) as remover:
        return remover.matching(remover.narrowed(wanted))


class _Remover(TenantWriter):
    """A writer that only takes away."""

    def narrowed(self, wanted: Filter) -> Narrowing:
        with self._transaction():
            own = own_fields(wanted)
            narrowing = held_against(wanted, self._rows(KnownField, KNOWN_FIELDS, fields=own))
        if narrowing.chunk_filter is not None:
            raise InvalidFilter("page, section: documents are deleted whole, by what they are as a whole")
        return narrowing

    def matching(self, narrowing: Narrowing) -> list[Match]:
        with self._looking():
            return self._matching(narrowing, None)

    def remove_some(self, receipt: Receipt, documents: Sequence[UUID], still: Narrowing) -> Receipt:
        """Those of the documents that still fit, in one transaction with their part of the receipt."""
        with self._turn() as standing:
            if still.narrows:
                documents = [match.document_id for match in self._matching(still, documents)]
            removed = {table: rows for table, rows in self._discard(standing, documents).items() if rows}
            if removed:
                receipt = with_removed(receipt, removed)
                put_receipt(self._records, receipt, documents)
        return receipt

    def close(self, receipt: Receipt) -> Receipt:
        with self._transaction():
            return closed(self._records, receipt)

    @property
    def _records(self) -> Records:
        return Records(self._connection, self._tenant)

    def _matching(self, narrowing: Narrowing, among: Sequence[UUID] | None) -> list[Match]:
        fit = {name: narrowing.parameters[name] for name in ("document_filter", "filter_values")}
        return self._rows(Match, statement("matching_documents"), among=among, **fit)


def _delete(
    deletion: Deletion, remover: _Remover, receipt: Receipt, documents: Sequence[UUID], still: Narrowing
) -> Receipt:
    for at in range(0, len(documents), TOGETHER):
        receipt = remover.remove_some(receipt, documents[at : at + TOGETHER], still)
    if not receipt.removed:
        raise NotFound("no such document")
    receipt = remover.close(receipt)
    deletion.invisible(receipt.seconds)
    return receipt


@contextmanager
def _remover(deletion: Deletion) -> Iterator[_Remover]:
    with connected(deletion.dsn) as connection:
        yield _Remover(connection, deletion.tenant)
