"""The two legs. Each proposes chunks the caller may see, best first; each is one short transaction."""

from dataclasses import dataclass
from uuid import UUID

from pgvector import HalfVector

from retrieval.access import Caller
from retrieval.database.statements import TenantStatement, tenant_statement
from retrieval.database.store import CallerSession, Store
from retrieval.domain import ChunkKey
from retrieval.models.protocols import Vectors
from retrieval.search.terms import QuestionTerms, question_terms
from retrieval.settings import SearchSettings

_ANY = tenant_statement("retrieval.search", "lexical_any")
_ALL = tenant_statement("retrieval.search", "lexical_all")
_VISIBLE = tenant_statement("retrieval.search", "visible_chunks")
_EXACT = tenant_statement("retrieval.search", "dense_exact")
_ANN = tenant_statement("retrieval.search", "dense_ann")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A chunk one leg proposes. Higher scores are better; scores of two legs do not compare."""

    document_id: UUID
    ordinal: int
    score: float

    @property
    def key(self) -> ChunkKey:
        return ChunkKey(document_id=self.document_id, ordinal=self.ordinal)


@dataclass(frozen=True, slots=True, kw_only=True)
class LexicalFindings:
    """What the words found, and the words, which score the other leg's chunks too."""

    terms: QuestionTerms
    hits: tuple[Hit, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Visible:
    chunk_count: int


async def lexical_leg(store: Store, caller: Caller, question: str, settings: SearchSettings) -> LexicalFindings:
    """BM25 over Postgres lexemes, in every language the tenant's documents are in. Raises `StoreUnavailable`."""
    async with store.session(caller) as session:
        terms = await question_terms(session, question)
        hits: list[Hit] = []
        for lookup in terms.lookups:
            hits += await session.rows(
                Hit,
                _ALL if lookup.all_of_them else _ANY,
                term_keys=list(lookup.term_keys),
                question_weights=terms.weights,
                limit=settings.candidates,
            )
    hits.sort(key=lambda hit: (-hit.score, hit.key))
    return LexicalFindings(terms=terms, hits=tuple(hits[: settings.candidates]))


async def dense_leg(store: Store, caller: Caller, embedding: Vectors, settings: SearchSettings) -> tuple[Hit, ...]:
    """The nearest visible chunks: every one compared where they are few, HNSW where they are many.

    Never fewer than min(candidates, visible) rows: an index walk that comes back short is done again exactly.
    Raises `StoreUnavailable`.
    """
    async with store.session(caller) as session:
        [visible] = await session.rows(_Visible, _VISIBLE, bound=settings.exact_below + 1)
        if visible.chunk_count > settings.exact_below:
            hits = await _walk(session, embedding, settings)
            if len(hits) >= settings.candidates:
                return tuple(hits)
        return tuple(await _nearest(session, _EXACT, embedding, settings.candidates))


async def _walk(session: CallerSession, embedding: Vectors, settings: SearchSettings) -> list[Hit]:
    await session.set_local(
        hnsw__iterative_scan="relaxed_order",
        hnsw__ef_search=settings.ef_search,
        # The default 20,000 tuples and work_mem x 1 end a walk quietly; at .1 % visibility: recall .35 → .99.
        hnsw__max_scan_tuples=100_000,
        hnsw__scan_mem_multiplier=16,
    )
    return await _nearest(session, _ANN, embedding, settings.candidates)


async def _nearest(session: CallerSession, statement: TenantStatement, embedding: Vectors, limit: int) -> list[Hit]:
    return await session.rows(Hit, statement.sized(len(embedding)), embedding=HalfVector(embedding), limit=limit)
