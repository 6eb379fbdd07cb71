"""Offboarding: everything of a tenant, in many small transactions, of which the first makes it invisible.

mark → revoke the keys → rows, table by table → vector index → keys and tenant

Killed at any moment and asked for again, it goes on under the same receipt. The ledger goes too: its rows name people.
Who has to bill the tenant reads `pincite usage` first.
"""

from dataclasses import replace
from datetime import UTC, datetime

from psycopg import sql

from ingest.deleting.belongings import GO_WITH_A_TENANT, removing_of_tenant, statement
from ingest.deleting.receipts import (
    Deletion,
    Receipt,
    TenantState,
    asked_for,
    begun,
    closed,
    put_receipt,
    with_removed,
)
from ingest.deleting.records import Records, open_records
from ingest.indexing import generations
from ingest.transactions import connected
from retrieval.access import TenantId
from retrieval.database.errors import store_errors
from retrieval.database.statements import ReferenceStatement, reference_statement, tenant_statement
from retrieval.errors import NotFound
from retrieval.search.planning import vector_index_name

_ROWS = 5000
"""Rows that go in one transaction."""


def delete_tenant(deletion: Deletion) -> Receipt:
    """Deletes all that is the tenant's; from the first commit on nobody reads or writes any of it.

    Raises `NotFound` for a tenant that is not there, and `StoreUnavailable`: asked for again, it goes on.
    """
    with open_records(deletion.dsn, deletion.tenant) as records:
        receipt = _made_invisible(deletion, records)
        for table in GO_WITH_A_TENANT:
            receipt = _emptied(records, receipt, table)
        _drop_vector_indexes(deletion.dsn, deletion.tenant)
        return _ended(records, receipt)


def _made_invisible(deletion: Deletion, records: Records) -> Receipt:
    """The receipt: of the deletion that broke off, or a new one, entered with the mark."""
    with records.transaction():
        tenant = records.rows(TenantState, statement("tenant"))
        if not tenant:
            raise NotFound(f"no such tenant: {deletion.tenant}")
        receipts = records.rows(Receipt, statement("receipts"), receipt_id=None)
    for receipt in receipts:
        if tenant[0].leaving and receipt.scope == "tenant" and receipt.state == "under_way":
            return receipt
    asked = asked_for(deletion.tenant, "tenant", None)
    receipt = begun(deletion, "tenant", asked)
    with records.transaction(_reference("mark_leaving"), _reference("revoke_keys")):
        put_receipt(records, receipt)
    receipt = replace(receipt, invisible_at=datetime.now(UTC))
    deletion.invisible(receipt.seconds)
    return receipt


def _emptied(records: Records, receipt: Receipt, table: str) -> Receipt:
    while True:
        with records.transaction():
            rows = sum(records.run(removing_of_tenant(table), most=_ROWS) for _ in records.times(table))
            if not rows:
                return receipt
            receipt = _adding(receipt, table, rows)
            put_receipt(records, receipt)


def _drop_vector_indexes(dsn: str, tenant: TenantId) -> None:
    drop = tenant_statement("ingest", "drop_vector_index")
    for each in generations(dsn):
        name = sql.Identifier(each.schema, vector_index_name(tenant))
        with connected(dsn) as connection, store_errors():
            connection.execute(drop.composed(index_name=name).query)


def _ended(records: Records, receipt: Receipt) -> Receipt:
    with records.transaction(_reference("remove_keys"), _reference("remove_tenant")) as (keys, _):
        return closed(records, _adding(receipt, "api_keys", keys))


def _adding(receipt: Receipt, table: str, rows: int) -> Receipt:
    """The rows go later, invisible they have been since the first commit."""
    return replace(with_removed(receipt, {table: rows}), invisible_at=receipt.invisible_at)


def _reference(name: str) -> ReferenceStatement:
    return reference_statement("ingest.deleting", name)
