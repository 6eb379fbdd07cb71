"""One tenant's index as the doctor reads and mends it: short transactions, and the writer's turn for every change."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

from pgvector import HalfVector
from psycopg import sql

from ingest.store import TenantWriter
from ingest.transactions import connected
from retrieval.access import TenantId
from retrieval.database.statements import TenantStatement, tenant_statement
from retrieval.models.protocols import Embedder

MOST = 10_000
"""Documents that one check names: a run mends so many, the next one more."""
WHOLE = 200_000
"""Chunks up to which every word is counted anew; of more, a share."""
STATISTICS = {
    "language_statistics": "count_chunks",
    "principal_statistics": "count_principals",
    "term_statistics": "count_terms",
}
"""Those that each generation of the index has."""
SHARED_STATISTICS = {"field_statistics": "count_fields"}
_COUNTING, _DELETING = sql.SQL("SELECT count(*) AS found"), sql.SQL("DELETE")
SHARED_CHILDREN = {"grants": "orphans_of_documents", "document_fields": "orphans_of_documents"}
CHILDREN = {
    "cut_documents": "orphans_of_documents",
    "chunks": "orphans_of_cuts",
    "embeddings": "orphans_of_chunks",
    "chunk_terms": "orphans_of_chunks",
}
"""Tables with rows that belong to others; the latter are those that each generation has."""
_EXPIRING = ("kept_answers", "cached_answers", "answer_claims")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    found: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Id:
    document_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class _Text:
    version: int
    ordinal: int
    text: str


class Patient(TenantWriter):
    """Reads and mends one tenant, in one generation of the index. Every method raises `StoreUnavailable`, and
    `GenerationChanged` where that was dropped."""

    def documents(self, check: str, **parameters: object) -> list[UUID]:
        """The documents that the check finds, at most `MOST`."""
        with self._looking():
            rows = self._rows(_Id, _statement(check), most=MOST, **parameters)
        return [row.document_id for row in rows]

    def orphans(self, children: Mapping[str, str]) -> int:
        """Rows of these tables whose document or chunk is not there."""
        with self._looking():
            return sum(self._found(_orphans(table, name, _COUNTING)) for table, name in children.items())

    def drop_orphans(self, children: Mapping[str, str]) -> None:
        """Takes them away."""
        with self._turn():
            for table, name in children.items():
                self._run(_orphans(table, name, _DELETING))

    def expired(self) -> int:
        """Answers and claims that nobody swept."""
        with self._transaction():
            return sum(self._found(_expired(table, _COUNTING)) for table in _EXPIRING)

    def sweep(self) -> None:
        """Takes them away."""
        with self._transaction():
            for table in _EXPIRING:
                self._run(_expired(table, _DELETING))

    def withdrawn_words(self) -> int:
        """What withdrawn answers still say."""
        with self._transaction():
            return self._found(_statement("withdrawn_words").composed(what=_COUNTING))

    def drop_withdrawn_words(self) -> None:
        """Takes that away."""
        with self._transaction():
            self._run(_statement("withdrawn_words").composed(what=_DELETING))

    def chunks(self) -> int:
        """How many chunks the tenant has by its own count."""
        with self._looking():
            return self._found(_statement("tenant_chunks"))

    def differences(self, table: str) -> int:
        """Rows of a statistic that are not what its documents add up to."""
        if table == "field_statistics":
            return self._field_differences()
        name = f"{table.removesuffix('_statistics')}_differences"
        every = {"every": 1 << max(0, (self.chunks() // WHOLE).bit_length())} if table == "term_statistics" else {}
        with self._looking():
            return self._found(_statement(name), **every)

    def _field_differences(self) -> int:
        with self._turn(), self._connection.transaction(force_rollback=True):
            self._run(tenant_statement("ingest", "count_fields"), document_ids=self._everything(), sign=-1)
            return self._found(_statement("field_differences"))

    def recount(self, table: str) -> None:
        """Makes a statistic anew from all documents."""
        with self._turn():
            self._recount(table)

    def _recount(self, table: str) -> None:
        counting = (STATISTICS | SHARED_STATISTICS)[table]
        self._run(_statement("clear_statistics").composed(table=sql.Identifier(table)))
        self._run(tenant_statement("ingest", counting), document_ids=self._everything(), sign=1)

    def count_anew(self, documents: Sequence[UUID]) -> None:
        """Their numbers of chunks, and with them the statistics."""
        with self._turn():
            self._run(_statement("count_anew"), document_ids=documents)
        for table in ("language_statistics", "principal_statistics"):
            self.recount(table)

    def grant_anew(self, documents: Sequence[UUID]) -> None:
        """Puts them under the principals that their permissions name."""
        with self._turn() as standing:
            self._run(tenant_statement("ingest", "remove_grants"), document_ids=documents)
            self._run(tenant_statement("ingest", "put_grants"), document_ids=documents)
            for _ in self._in_each(standing):
                self._recount("principal_statistics")

    def describe_anew(self, documents: Sequence[UUID]) -> None:
        """Makes what filters read of them anew."""
        with self._turn():
            self._run(tenant_statement("ingest", "put_fields"), document_ids=documents)
        self.recount("field_statistics")

    def read_words(self, documents: Sequence[UUID]) -> None:
        """Reads the words of chunks that have none."""
        with self._turn():
            self._run(tenant_statement("ingest", "create_staging"))
            self._run(_statement("stage_unread"), document_ids=documents)
            self._run(tenant_statement("ingest", "add_terms"))
        self.recount("term_statistics")

    def embed_anew(self, documents: Sequence[UUID], embedder: Embedder) -> None:
        """Makes the documents' vectors anew, one document at a time; no transaction waits for the model."""
        for document in documents:
            with self._looking():
                texts = self._rows(_Text, _statement("texts_of"), document_id=document)
            if not texts:  # deleted meanwhile
                continue
            vectors = embedder.embed_documents([text.text for text in texts])
            made = {
                "version": texts[0].version,
                "ordinals": [text.ordinal for text in texts],
                "embeddings": [HalfVector(vector).to_text() for vector in vectors],
            }
            with self._turn():
                self._run(_statement("put_embeddings"), document_id=document, **made)

    def take_back(self, documents: Sequence[UUID]) -> None:
        """Withdraws and forgets answers that show these documents."""
        with self._turn():
            self._withdraw(documents)
            self._forget(documents)

    def _everything(self) -> list[UUID]:
        return [row.document_id for row in self._rows(_Id, _statement("all_documents"))]

    def _found(self, statement: TenantStatement, **parameters: object) -> int:
        [row] = self._rows(_Found, statement, **parameters)
        return row.found


@contextmanager
def open_patient(dsn: str, tenant: TenantId, generation_id: int | None = None) -> Iterator[Patient]:
    """In this generation of the index, or (None) in the live one. Raises `StoreUnavailable`."""
    with connected(dsn) as connection:
        yield Patient(connection, tenant, generation_id)


def _orphans(table: str, name: str, what: sql.SQL) -> TenantStatement:
    return _statement(name).composed(table=sql.Identifier(table), what=what)


def _expired(table: str, what: sql.SQL) -> TenantStatement:
    return _statement("expired").composed(table=sql.Identifier(table), what=what)


def _statement(name: str) -> TenantStatement:
    return tenant_statement("ingest.doctor", name)
