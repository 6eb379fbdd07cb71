"""The two legs. Each proposes chunks the caller may see, best first; each is one short transaction."""

from dataclasses import dataclass, replace
from uuid import UUID

from pgvector import HalfVector

from retrieval.access import Caller
from retrieval.database.statements import TenantStatement, tenant_statement
from retrieval.database.store import CallerSession, Store
from retrieval.domain import ChunkKey, DensePath, DensePlan
from retrieval.models.protocols import Vectors
from retrieval.search.planning import OVERFETCH, plan_dense
from retrieval.search.terms import Lookup, QuestionTerms, question_terms
from retrieval.settings import SearchSettings

_ANY = tenant_statement("retrieval.search", "lexical_any")
_ALL = tenant_statement("retrieval.search", "lexical_all")
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
    """What the words found, how they were looked up, and the words, which score the other leg's chunks too."""

    terms: QuestionTerms
    lookups: tuple[Lookup, ...]
    hits: tuple[Hit, ...]

    @property
    def postings(self) -> int:
        """How many entries of the word index the lookups read, by the kept counts."""
        looked_up = {key for lookup in self.lookups for key in lookup.term_keys}
        return sum(term.chunk_count for term in self.terms.terms if term.term_key in looked_up)


@dataclass(frozen=True, slots=True, kw_only=True)
class DenseFindings:
    """What the vectors found, and which way."""

    hits: tuple[Hit, ...]
    plan: DensePlan


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
    return LexicalFindings(terms=terms, lookups=terms.lookups, hits=tuple(hits[: settings.candidates]))


async def dense_leg(store: Store, caller: Caller, embedding: Vectors, settings: SearchSettings) -> DenseFindings:
    """The nearest visible chunks, by the path that `plan_dense()` chose.

    Never fewer than min(candidates, visible) rows: a walk that comes back short is done again exactly.
    Raises `StoreUnavailable`.
    """
    limit = settings.candidates
    async with store.session(caller) as session:
        plan = await plan_dense(session, caller.tenant, settings)
        if plan.path is DensePath.INDEX:
            hits = await _walk(session, embedding, limit, plan)
            if len(hits) >= limit:
                return DenseFindings(hits=tuple(hits), plan=plan)
            plan = replace(plan, path=DensePath.INDEX_COMPLETED)
        return DenseFindings(hits=tuple(await _nearest(session, _EXACT, embedding, limit)), plan=plan)


async def nearest_exactly(store: Store, caller: Caller, embedding: Vectors, limit: int) -> tuple[Hit, ...]:
    """The nearest of all visible chunks, each compared: what `dense_leg()` should find. Raises `StoreUnavailable`."""
    async with store.session(caller) as session:
        return tuple(await _nearest(session, _EXACT, embedding, limit))


async def _walk(session: CallerSession, embedding: Vectors, limit: int, plan: DensePlan) -> list[Hit]:
    await session.set_local(
        hnsw__iterative_scan="relaxed_order",
        hnsw__ef_search=plan.ef_search,
        # The default 20,000 tuples and work_mem x 1 end a walk quietly; at .1 % visibility: recall .35 → .99.
        hnsw__max_scan_tuples=100_000,
        hnsw__scan_mem_multiplier=16,
    )
    return await _nearest(session, _ANN, embedding, limit, walk_limit=OVERFETCH * limit)


async def _nearest(
    session: CallerSession, statement: TenantStatement, embedding: Vectors, limit: int, **more: int
) -> list[Hit]:
    sized = statement.sized(len(embedding))
    return await session.rows(Hit, sized, embedding=HalfVector(embedding), limit=limit, **more)
