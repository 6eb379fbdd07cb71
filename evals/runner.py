"""Asks a dataset's questions of the served path, in this process: the code under measure is the code that serves."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from evals.dataset import Case, Dataset, Subject
from ingest.domain import Failure
from ingest.pipeline import Run, ingest
from ingest.situating.situator import open_situator
from retrieval.access import Caller
from retrieval.answering import answer
from retrieval.database.preparing import prepare_database
from retrieval.domain import (
    AnswerFailed,
    AnswerFinished,
    Citation,
    Degradation,
    Passage,
    PassagesFound,
    Question,
    Surroundings,
)
from retrieval.engine import Engine, open_engine
from retrieval.errors import EmbedderUnavailable, NotFound
from retrieval.reading import read_document
from retrieval.searching import retrieve
from retrieval.serving import Missing
from retrieval.settings import Settings

AT_ONCE = 4
"""Questions under way together: enough to keep the database and the model busy, few enough to time."""
RANKED_PASSAGES = 100
"""Passages asked for where documents are ranked: ten documents may hold many of the best passages each."""
SERVED_PASSAGES = 8
"""Passages an answer is written from, as the API and `pincite ask` ask for."""

_PATIENCE = 60.0  # seconds

OnCase = Callable[[], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """An answer as a caller gets it. `valid[i]`: citation i's quote is the stored text at its span, read as the caller.

    `outcome` is `answered`, `refused` or, for an answer that broke off, its error's code.
    """

    outcome: str
    text: str
    passages: tuple[Passage, ...]
    citations: tuple[Citation, ...]
    valid: tuple[bool, ...]
    degraded: tuple[Degradation, ...]
    milliseconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What one question brought. `served` is None where only the ranking was asked for."""

    case: Case
    passages: tuple[Passage, ...]
    confidence: float
    degraded: tuple[Degradation, ...]
    milliseconds: float
    served: Served | None


def patient_settings(data_dir: Path) -> Settings:
    """The service's settings on the evaluations' own database: a busy machine must not change a ranking."""
    settings = Settings()
    return replace(
        settings,
        database=settings.database.model_copy(update={"data_dir": data_dir, "database_timeout": _PATIENCE}),
        embedder=settings.embedder.model_copy(update={"timeout": _PATIENCE}),
        reranker=settings.reranker.model_copy(update={"budget": _PATIENCE}),
    )


@asynccontextmanager
async def prepared_engine(
    settings: Settings, subject: Subject, files: Path
) -> AsyncIterator[tuple[Engine, tuple[Failure, ...]]]:
    """An engine whose index says what the subject's corpus says; `files` is the folder the corpus is written to.

    With it come the documents that could not be indexed. Raises like `open_engine()` and `ingest()`.
    """
    dsn = await asyncio.to_thread(prepare_database, settings)
    async with open_engine(settings) as engine:
        failures = await asyncio.to_thread(_ingest, engine, dsn, subject, files)
        yield engine, failures


def _ingest(engine: Engine, dsn: str, subject: Subject, files: Path) -> tuple[Failure, ...]:
    if isinstance(engine.embedder, Missing):
        raise EmbedderUnavailable(f"nothing can be indexed without the embedding model: {engine.embedder.reason}")
    failures: list[Failure] = []
    for tenant, selection in subject.selections(files):
        with open_situator(dsn, tenant, engine.embedder, engine.settings) as situator:
            run = Run(
                dsn=dsn,
                tenant=tenant,
                embedder=engine.embedder,
                settings=engine.settings.ingest,
                situator=situator,
                prune=True,
            )
            failures += ingest(run, selection).failures
    return tuple(failures)


async def ask(engine: Engine, dataset: Dataset, *, answers: bool, on_case: OnCase = lambda: None) -> tuple[Asked, ...]:
    """Every case asked as its person, in the dataset's order. `answers`: the answer as well as the ranking.

    Raises `StoreUnavailable` and `IndexMismatch`; parts that give way are named in what comes back.
    """
    gate = asyncio.Semaphore(AT_ONCE)

    async def turn(case: Case) -> Asked:
        async with gate:
            asked = await _ask_one(engine, case, answers=answers)
        on_case()
        return asked

    turns = [asyncio.create_task(turn(case)) for case in dataset.cases]
    try:
        return tuple(await asyncio.gather(*turns))
    finally:
        for each in turns:
            each.cancel()


async def _ask_one(engine: Engine, case: Case, *, answers: bool) -> Asked:
    begun = time.perf_counter()
    found = await retrieve(engine, Question(text=case.text, caller=case.caller, limit=RANKED_PASSAGES))
    milliseconds = _since(begun)
    return Asked(
        case=case,
        passages=tuple(ranked.passage for ranked in found.passages),
        confidence=found.confidence,
        degraded=found.degraded,
        milliseconds=milliseconds,
        served=await serve(engine, case) if answers else None,
    )


async def serve(
    engine: Engine, case: Case, limit: int = SERVED_PASSAGES, surroundings: Surroundings = Surroundings.NONE
) -> Served:
    """The case's answer. Raises like `answer()` before its first event."""
    begun = time.perf_counter()
    passages: tuple[Passage, ...] = ()
    last: AnswerFinished | AnswerFailed | None = None
    question = Question(text=case.text, caller=case.caller, limit=limit, cache=False, surroundings=surroundings)
    async for event in answer(engine, question):
        if isinstance(event, PassagesFound):
            passages = tuple(ranked.passage for ranked in event.retrieval.passages)
        elif isinstance(event, AnswerFinished | AnswerFailed):
            last = event
    milliseconds = _since(begun)
    finished = last if isinstance(last, AnswerFinished) else None
    citations = finished.citations if finished else ()
    return Served(
        outcome=finished.outcome if finished else getattr(last, "code", "unfinished"),
        text=finished.text if finished else "",
        passages=passages,
        citations=citations,
        valid=tuple([await holds(engine, case.caller, citation) for citation in citations]),
        degraded=finished.degraded if finished else (),
        milliseconds=milliseconds,
    )


async def holds(engine: Engine, caller: Caller, citation: Citation) -> bool:
    """True when the caller can open the document and finds the quote at exactly this place. Asks the database anew."""
    try:
        document = await read_document(engine, caller, citation.document_id)
    except NotFound:
        return False
    there = document.text[citation.char_start : citation.char_end]
    return bool(citation.quote) and _says(there, citation) and document.uri == citation.uri


def _says(there: str, citation: Citation) -> bool:
    """Whether the text is what the citation quotes, but for what was taken out of the quote."""
    if not citation.redacted:
        return there == citation.quote
    kept = map(re.escape, re.split(r"\[\w+ removed\]", citation.quote))
    return re.fullmatch(".+".join(kept), there, re.DOTALL) is not None


def variants(engine: Engine) -> Iterator[tuple[str, Engine]]:
    """The same index asked in other ways, the served path untouched.

    `dense` still takes candidates from both legs, but orders them by cosine alone; `lexical` knows no vectors.
    """
    plain = replace(engine, reranker=None)
    by_cosine = engine.settings.search.model_copy(update={"dense_weight": 1.0})
    yield "dense", replace(plain, settings=replace(engine.settings, search=by_cosine))
    yield "lexical", replace(plain, embedder=Missing(reason="left out of this run"))
    yield "fused", plain
    if engine.reranker is not None and not isinstance(engine.reranker, Missing):
        yield "fused + reranker", engine


def _since(begun: float) -> float:
    return (time.perf_counter() - begun) * 1000
