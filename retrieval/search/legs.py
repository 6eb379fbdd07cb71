"""The two legs. Each proposes chunks the caller may see, best first; each is one short transaction."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from pgvector import HalfVector

from retrieval.access import Caller, TenantId
from retrieval.database.statements import TenantStatement, tenant_statement
from retrieval.database.store import CallerSession, Store
from retrieval.domain import ChunkKey, DensePath, DensePlan, LexicalPath
from retrieval.models.protocols import Vectors
from retrieval.search.narrowing import ANYTHING, Narrowing
from retrieval.search.phrases import quoted
from retrieval.search.planning import plan_dense
from retrieval.search.terms import Lookup, QuestionTerms, question_terms
from retrieval.settings import SearchSettings

_ANY = tenant_statement("retrieval.search", "lexical_any")
_ALL = tenant_statement("retrieval.search", "lexical_all")
_VISIBLE = tenant_statement("retrieval.search", "lexical_visible")
_EXACT = tenant_statement("retrieval.search", "dense_exact")
_ANN = tenant_statement("retrieval.search", "dense_ann")

ENOUGH = 20
"""Chunks found by the rarest words with which the lexical leg is content: the most passages anyone can ask for."""


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
    path: LexicalPath
    postings: int
    """How many chunks were looked at at most, by the kept counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DenseFindings:
    """What the vectors found, and which way."""

    hits: tuple[Hit, ...]
    plan: DensePlan


async def lexical_leg(
    store: Store, caller: Caller, question: str, settings: SearchSettings, narrowing: Narrowing = ANYTHING
) -> LexicalFindings:
    """BM25 over Postgres lexemes, in every language the tenant's documents are in, and what may hold its quotations.

    The rarest words are looked up first. Where they bring too little, because most of what holds them is not for the
    caller or they stand nowhere together, more are: what comes back is empty only where no chunk that is visible and
    matches holds any of the question's words. Raises `StoreUnavailable`.
    """
    async with store.session(caller) as session:
        look = _Look(session, caller.tenant, await question_terms(session, question), settings, narrowing)
        path, hits = await look.for_words()
        quoting = await look.for_quotations(question)
    best = sorted(hits, key=lambda hit: (-hit.score, hit.key))[: settings.candidates]
    found = {hit.key: hit for hit in (*best, *quoting)}
    return LexicalFindings(
        terms=look.terms,
        lookups=tuple(look.made),
        hits=tuple(sorted(found.values(), key=lambda hit: (-hit.score, hit.key))),
        path=path,
        postings=look.postings,
    )


class _Look:
    """One question's words in the index: what was looked up so far, and how much that was at most."""

    def __init__(
        self,
        session: CallerSession,
        tenant: TenantId,
        terms: QuestionTerms,
        settings: SearchSettings,
        narrowing: Narrowing,
    ) -> None:
        self.terms = terms
        self.made: list[Lookup] = []
        self.postings = 0
        self._session = session
        self._tenant = tenant
        self._settings = settings
        self._narrowing = narrowing

    async def for_words(self) -> tuple[LexicalPath, list[Hit]]:
        """From the narrowest look to the widest, until one brings enough."""
        terms = self.terms
        if not terms.words:
            return LexicalPath.NO_WORDS, []
        enough = min(ENOUGH, self._settings.candidates)
        hits = await self._up(terms.rarest)
        if len(hits) >= enough or terms.rarest == terms.every:
            return LexicalPath.RAREST, hits
        plan = await plan_dense(self._session, self._tenant, self._settings)
        visible = min(plan.visible_chunks, plan.tenant_chunks)
        if visible <= self._settings.exact_below:
            self.postings += visible
            return LexicalPath.VISIBLE, await self._hits(_VISIBLE)
        if terms.wider != terms.rarest:
            hits = await self._up(terms.wider)
        if len(hits) < enough and terms.wider != terms.every:
            hits = await self._up(terms.every)
        return LexicalPath.WIDER, hits

    async def for_quotations(self, question: str) -> list[Hit]:
        """Chunks that hold all words of a quotation: those that hold them in order are among them."""
        hits: list[Hit] = []
        for quotation in quoted(question):
            hits += await self._up((await question_terms(self._session, quotation)).together)
        return hits

    async def _up(self, lookups: Sequence[Lookup]) -> list[Hit]:
        hits: list[Hit] = []
        for lookup in lookups:
            self.made.append(lookup)
            self.postings += self.terms.postings(lookup)
            hits += await self._hits(_ALL if lookup.all_of_them else _ANY, term_keys=list(lookup.term_keys))
        return hits

    async def _hits(self, statement: TenantStatement, **parameters: object) -> list[Hit]:
        return await self._session.rows(
            Hit,
            statement,
            question_weights=self.terms.weights,
            limit=self._settings.candidates,
            **self._narrowing.parameters,
            **parameters,
        )


async def dense_leg(
    store: Store, caller: Caller, embedding: Vectors, settings: SearchSettings, narrowing: Narrowing = ANYTHING
) -> DenseFindings:
    """The nearest visible chunks that match, by the path that `plan_dense()` chose.

    Never fewer than min(candidates, visible and matching) rows: where a walk meets fewer of them than expected, all
    are compared.
    Raises `StoreUnavailable`.
    """
    limit = settings.candidates
    async with store.session(caller) as session:
        plan = await plan_dense(session, caller.tenant, settings, narrowing)
        if plan.path is DensePath.NOTHING:
            return DenseFindings(hits=(), plan=plan)
        if plan.path is DensePath.INDEX:
            hits = await _walk(session, embedding, limit, plan, narrowing)
            if len(hits) >= limit:
                return DenseFindings(hits=tuple(hits), plan=plan)
            plan = replace(plan, path=DensePath.INDEX_COMPLETED)
        hits = await _nearest(session, _EXACT, embedding, narrowing, limit=limit)
        if narrowing.narrows:
            plan = _counting(plan, len(hits), limit)
        return DenseFindings(hits=tuple(hits), plan=plan)


async def nearest_exactly(
    store: Store, caller: Caller, embedding: Vectors, limit: int, narrowing: Narrowing = ANYTHING
) -> tuple[Hit, ...]:
    """The nearest of all visible chunks that match, each compared: what `dense_leg()` should find.

    Raises `StoreUnavailable`.
    """
    async with store.session(caller) as session:
        return tuple(await _nearest(session, _EXACT, embedding, narrowing, limit=limit))


def _counting(plan: DensePlan, found: int, limit: int) -> DensePlan:
    """What an exact search found is all that matches, or, where it is as much as was wanted, the least that does."""
    if found < limit:
        return replace(plan, matching_chunks=found, counted=True)
    return replace(plan, matching_chunks=max(found, plan.matching_chunks))


async def _walk(
    session: CallerSession, embedding: Vectors, limit: int, plan: DensePlan, narrowing: Narrowing
) -> list[Hit]:
    await session.set_local(
        # Takes more than `ef_search` where `walked` asks for more. The defaults, 20,000 tuples and work_mem x 1, would
        # end that quietly.
        hnsw__iterative_scan="relaxed_order",
        hnsw__ef_search=plan.ef_search,
        hnsw__max_scan_tuples=100_000,
        hnsw__scan_mem_multiplier=16,
    )
    return await _nearest(session, _ANN, embedding, narrowing, limit=limit, walked=plan.walked, expected=plan.expected)


async def _nearest(
    session: CallerSession, statement: TenantStatement, embedding: Vectors, narrowing: Narrowing, **limits: int
) -> list[Hit]:
    sized = statement.sized(len(embedding))
    return await session.rows(Hit, sized, embedding=HalfVector(embedding), **narrowing.parameters, **limits)
