"""What goes with a document, and what with a tenant: the one place where a new table is entered.

tests/contract/test_belongings.py holds both lists against the catalog.
"""

from dataclasses import dataclass

from psycopg import sql

from retrieval.database.generations import TABLES
from retrieval.database.statements import TenantStatement, tenant_statement


@dataclass(frozen=True, slots=True, kw_only=True)
class Belonging:
    """Rows that go with documents: the statement that takes them away, and the one that counts what is left."""

    table: str
    removing: TenantStatement
    counting: TenantStatement

    @property
    def of_generations(self) -> bool:
        """Whether each generation of the index has a table of this name."""
        return self.table in TABLES


def statement(name: str) -> TenantStatement:
    """One of this package's statements."""
    return tenant_statement("ingest.deleting", name)


def _by_id(table: str) -> Belonging:
    """Rows that name their document in `document_id`."""
    name = sql.Identifier(table)
    return Belonging(
        table=table,
        removing=statement("remove_rows").composed(table=name),
        counting=statement("count_rows").composed(table=name),
    )


SHOWING = (
    # Late and in this order: until the end nobody can write those rows, and each statement sees what was written
    # while the one before waited for its writer.
    Belonging(table="kept_answers", removing=statement("withdraw_kept"), counting=statement("count_kept")),
    Belonging(table="kept_events", removing=statement("remove_kept_events"), counting=statement("count_kept_events")),
    _by_id("kept_sources"),
)
"""Kept answers that show the documents: what is left of them says only that they were withdrawn."""

GO_WITH_A_DOCUMENT = (
    Belonging(table="uploads", removing=statement("remove_uploads"), counting=statement("count_uploads")),
    _by_id("revisions"),
    _by_id("grants"),
    _by_id("document_fields"),
    _by_id("chunk_contexts"),
    _by_id("chunk_terms"),
    _by_id("embeddings"),
    _by_id("chunks"),
    _by_id("cut_documents"),
    _by_id("documents"),
    *SHOWING,
    # Last: who keeps one holds its documents, and is waited for.
    Belonging(table="cached_answers", removing=statement("forget_answers"), counting=statement("count_cached")),
)

GO_WITH_A_TENANT = {
    "grants": ("principal", "document_id"),
    "document_fields": ("document_id",),
    "chunk_contexts": ("document_id", "key"),
    "chunk_terms": ("document_id", "ordinal"),
    "embeddings": ("document_id", "ordinal"),
    "chunks": ("document_id", "ordinal"),
    "cut_documents": ("document_id",),
    "documents": ("document_id",),
    "term_statistics": ("term_key",),
    "language_statistics": ("language",),
    "principal_statistics": ("principal",),
    "field_statistics": ("field", "kind"),
    "kept_events": ("answer_id", "last_number"),
    "kept_sources": ("answer_id", "document_id", "version"),
    "kept_answers": ("answer_id",),
    "cached_answers": ("scope", "key"),
    "answer_claims": ("key",),
    "uploads": ("revision_id",),
    "revisions": ("revision_id",),
    "jobs": ("job_id",),
    "webhook_deliveries": ("endpoint_id", "message_id"),
    "webhook_messages": ("message_id",),
    "webhook_secrets": ("endpoint_id", "secret_id"),
    "webhook_endpoints": ("endpoint_id",),
    "version_floors": (),
    "sync_items": ("uri",),
    "sync_sources": ("source",),
    "budgets": ("principal", "period", "unit"),
    "spending_windows": ("principal", "period", "starts_at"),
    "spending_calls": ("number",),
    "spending_accounts": (),
}
"""Each table's key behind `tenant_id`; what refers to others before these."""


def removing_of_tenant(table: str) -> TenantStatement:
    """Takes some of the tenant's rows away."""
    key = sql.SQL(", ").join(map(sql.Identifier, ("tenant_id", *GO_WITH_A_TENANT[table])))
    return statement("remove_of_tenant").composed(table=sql.Identifier(table), key=key)


def counting_of_tenant(table: str) -> TenantStatement:
    """Counts the tenant's rows."""
    return statement("count_of_tenant").composed(table=sql.Identifier(table))
