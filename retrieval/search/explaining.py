"""How a search came about: what its trace tells, and what its legs read when they run once more, watched."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from retrieval.database.plans import QueryPlan
from retrieval.database.statements import tenant_statement
from retrieval.database.store import CallerSession, Store
from retrieval.domain import Question
from retrieval.search.explanation import (
    DenseExplained,
    Examined,
    Explanation,
    LexicalExplained,
    Trace,
    WordExplained,
)
from retrieval.search.legs import LexicalFindings, dense_leg, lexical_leg
from retrieval.settings import SearchSettings

_WORDS = tenant_statement("retrieval.search", "question_words")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Word:
    word: str
    term_key: int


async def explained(store: Store, question: Question, trace: Trace, settings: SearchSettings) -> Explanation:
    """The trace, explained. Runs both legs once more. Raises `StoreUnavailable`."""
    shown = {ranked.passage.key for ranked in trace.retrieval.passages}
    return Explanation(
        retrieval=trace.retrieval,
        limit=question.limit,
        candidates=settings.candidates,
        dense=await _dense(store, question, trace, settings),
        lexical=await _lexical(store, question, trace, settings),
        passages=tuple(found for found in trace.candidates() if found.candidate.key in shown),
    )


async def spelled(session: CallerSession, question: str) -> Mapping[int, str]:
    """Each term of the question as it is written there. Raises `StoreUnavailable`."""
    return {row.term_key: row.word for row in await session.rows(_Word, _WORDS, question=question)}


async def _dense(store: Store, question: Question, trace: Trace, settings: SearchSettings) -> DenseExplained | None:
    if trace.dense is None or trace.retrieval.embedding is None:
        return None
    plans: list[QueryPlan] = []
    await dense_leg(store.examining(plans), question.caller, trace.retrieval.embedding, settings, trace.narrowing)
    return DenseExplained(
        plan=trace.dense.plan, proposed=len(trace.dense.hits), examined=_examined(plans, "embeddings")
    )


async def _lexical(store: Store, question: Question, trace: Trace, settings: SearchSettings) -> LexicalExplained:
    plans: list[QueryPlan] = []
    await lexical_leg(store.examining(plans), question.caller, question.text, settings, trace.narrowing)
    async with store.session(question.caller) as session:
        words = await spelled(session, question.text)
    return LexicalExplained(
        path=trace.lexical.path,
        words=_words(trace.lexical, words),
        proposed=len(trace.lexical.hits),
        examined=_examined(plans, "chunk_terms"),
    )


def _words(findings: LexicalFindings, words: Mapping[int, str]) -> tuple[WordExplained, ...]:
    """The words by language, the most telling first."""
    looked_up: dict[int, Literal["any", "all"]] = {
        key: "all" if lookup.all_of_them else "any" for lookup in findings.lookups for key in lookup.term_keys
    }
    terms = sorted(findings.terms.terms, key=lambda term: (term.language, -term.idf, term.term_key))
    return tuple(
        WordExplained(
            word=words.get(term.term_key, ""),
            language=term.language,
            idf=term.idf,
            chunk_count=term.chunk_count,
            looked_up=looked_up.get(term.term_key),
        )
        for term in terms
    )


def _examined(plans: Sequence[QueryPlan], table: str) -> Examined:
    return Examined(rows=sum(plan.rows_read(table) for plan in plans), pages=sum(plan.pages_read for plan in plans))
