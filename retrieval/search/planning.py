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
OVERFETCH = 2
"""A walk takes so many times the wanted chunks that are expected to be visible."""
EXPECTED = 0.8
"""Where fewer of the chunks around a question are visible than this part of the expectation, they are compared instead:
what the caller may see then lies elsewhere, where no chunk is much nearer than others, and a walk misses some."""
WALK_COST = 33.0
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
    complete: bool
    chunk_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sampled:
    complete: bool
    chunk_count: int
    matching: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reach:
    """How many chunks the caller may see, how many of these match, at least `surely`, and whether that is counted.

    Estimates are of the caller's own documents alone: held against the tenant's total, they would tell it.
    """

    visible: int
    matching: int
    surely: int
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
    share = min(max(reach.surely, 1) / max(known.tenant_chunks, 1), 1.0)
    walked, ef_search = _walk(settings, share)
    # At worst, where permissions go with topics, a walk answers only this share of the questions; the others are
    # compared after all.
    to_compare = min(reach.matching, known.tenant_chunks)
    compare = not known.indexed or to_compare <= max(settings.exact_below, WALK_COST * ef_search / share)
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
        walked=walked,
        expected=max(settings.candidates, round(EXPECTED * share * min(walked, known.tenant_chunks))),
    )


async def _visible(session: CallerSession, known: _Known, settings: SearchSettings) -> _Reach:
    visible, surely, counted = known.at_most, known.at_least, known.at_least == known.at_most
    if known.indexed and known.at_least <= settings.exact_below < visible:
        [found] = await session.rows(_Counted, _COUNTED, bound=settings.exact_below + 1)
        surely, counted = max(found.chunk_count, known.at_least), found.complete
        visible = surely if counted else visible
    return _Reach(visible=visible, matching=visible, surely=surely, counted=counted)


async def _matching(session: CallerSession, known: _Known, narrowing: Narrowing) -> _Reach:
    """By the share of a sample that matches; counted, where the sample is all there is."""
    statement = _DOCUMENTS if narrowing.chunk_filter is None else _CHUNKS
    [found] = await session.rows(_Sampled, statement, bound=SAMPLE, **narrowing.parameters)
    if found.complete:
        return _Reach(visible=found.chunk_count, matching=found.matching, surely=found.matching, counted=True)
    visible = max(known.at_most, found.chunk_count)
    matching = round(visible * found.matching / max(found.chunk_count, 1))
    return _Reach(visible=visible, matching=matching, surely=matching, counted=False)


def _walk(settings: SearchSettings, share: float) -> tuple[int, int]:
    """How many of the nearest chunks to take where this share is visible, and how wide to walk for them.

    A quarter of `ef_search` visible ones tell whether the caller sees what is near; the walk is at least twice as wide.
    """
    walked = max(OVERFETCH * settings.candidates, settings.ef_search // 4) / share
    ef_search = max(settings.ef_search, walked, settings.ef_search / 2 / share)
    return round(walked), min(MOST_EF_SEARCH, round(ef_search))


def vector_index_name(tenant: TenantId) -> str:
    """The name of the tenant's own vector index; a tenant's id may be longer than a name in Postgres."""
    return f"embeddings_hnsw_{hashlib.sha256(tenant.encode()).hexdigest()[:16]}"
