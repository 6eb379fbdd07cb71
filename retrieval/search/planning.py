"""Which way the dense leg goes: every visible chunk compared, or the tenant's vector index walked.

Postgres itself picks the index where comparing is 40 times faster, and a filtered walk can end early in silence, so
the choice is made here, from counts the writer keeps per principal. A tenant has an index of its own once it holds
more than `exact_below` chunks; all others are compared, which is exact, fast, and costs their writers nothing.
"""

import hashlib
from dataclasses import dataclass

from retrieval.access import TenantId
from retrieval.database.statements import tenant_statement
from retrieval.database.store import CallerSession
from retrieval.domain import DensePath, DensePlan
from retrieval.search.narrowing import ANYTHING, Narrowing
from retrieval.settings import SearchSettings

_VISIBLE = tenant_statement("retrieval.search", "visible_chunks")
_COUNTED = tenant_statement("retrieval.search", "counted_chunks")
_DOCUMENTS = tenant_statement("retrieval.search", "sampled_documents")
_CHUNKS = tenant_statement("retrieval.search", "sampled_chunks")

MOST_EF_SEARCH = 1000
"""What pgvector takes."""
OVERFETCH = 4
"""A walk in relaxed order collects so many times the wanted chunks, to be sorted exactly."""
WALK_COST = 32.0
"""What each step of `ef_search` costs, in chunks compared one by one (`python -m evals.benchmarks.search_grid`)."""
SAMPLE = 500
"""Documents, or chunks where the filter is about these, that are held against a filter to tell how many match."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    at_least: int
    at_most: int
    tenant_chunks: int
    indexed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Counted:
    chunk_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sampled:
    complete: bool
    chunk_count: int
    matching: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reach:
    """How many chunks the caller may see, how many of these match, and whether that is counted."""

    visible: int
    matching: int
    counted: bool


async def plan_dense(
    session: CallerSession, tenant: TenantId, settings: SearchSettings, narrowing: Narrowing = ANYTHING
) -> DensePlan:
    """The cheaper path to the caller's nearest chunks. Never counts more than `exact_below` grants, nor holds more than
    `SAMPLE` documents or chunks against a filter.

    Raises `StoreUnavailable`.
    """
    [known] = await session.rows(_Known, _VISIBLE, index_name=vector_index_name(tenant))
    if narrowing.narrows:
        reach = await _matching(session, known, narrowing)
    else:
        reach = await _visible(session, known, settings)
    ef_search = _widened(settings.ef_search, reach.matching, known.tenant_chunks)
    compare = not known.indexed or reach.matching <= max(settings.exact_below, WALK_COST * ef_search)
    path = DensePath.EXACT if compare else DensePath.INDEX
    if narrowing.narrows and reach.counted and not reach.matching:
        path = DensePath.NOTHING
    return DensePlan(
        path=path,
        visible_chunks=reach.visible,
        matching_chunks=reach.matching,
        counted=reach.counted,
        tenant_chunks=known.tenant_chunks,
        indexed=known.indexed,
        ef_search=ef_search,
    )


async def _visible(session: CallerSession, known: _Known, settings: SearchSettings) -> _Reach:
    visible, counted = min(known.at_most, known.tenant_chunks), known.at_least == known.at_most
    if known.indexed and known.at_least <= settings.exact_below < visible:
        [found] = await session.rows(_Counted, _COUNTED, bound=settings.exact_below + 1)
        visible, counted = max(found.chunk_count, known.at_least), found.chunk_count <= settings.exact_below
    return _Reach(visible=visible, matching=visible, counted=counted)


async def _matching(session: CallerSession, known: _Known, narrowing: Narrowing) -> _Reach:
    """By the share of a sample that matches; counted, where the sample is all there is."""
    statement = _DOCUMENTS if narrowing.chunk_filter is None else _CHUNKS
    [found] = await session.rows(_Sampled, statement, bound=SAMPLE, **narrowing.parameters)
    if found.complete:
        return _Reach(visible=found.chunk_count, matching=found.matching, counted=True)
    visible = max(min(known.at_most, known.tenant_chunks), found.chunk_count)
    return _Reach(visible=visible, matching=round(visible * found.matching / max(found.chunk_count, 1)), counted=False)


def _widened(ef_search: int, visible: int, tenant_chunks: int) -> int:
    """The walk's width: as much wider as fewer of the chunks it meets are visible.

    At one width, recall@10 fell from 1 to .91 where half the chunks were visible, by topic.
    """
    return min(MOST_EF_SEARCH, round(ef_search * max(1.0, tenant_chunks / max(visible, 1))))


def vector_index_name(tenant: TenantId) -> str:
    """The name of the tenant's own vector index; a tenant's id may be longer than a name in Postgres."""
    return f"embeddings_hnsw_{hashlib.sha256(tenant.encode()).hexdigest()[:16]}"
