"""What kept answers cost and what they risk: `python -m evals.benchmarks.caching`.

Cost: looking for an answer, keeping one and finding it again, beside the search that each question makes anyway.
Risk: questions that must not share an answer, because other documents answer them (all pairs of golden questions) or
because a word was changed that turns them (a number, a negation, a name, any other); and rewordings that should.
By the embeddings alone, and with the words that must agree.
"""

import asyncio
import re
import tempfile
import time
import zlib
from collections.abc import Awaitable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Annotated, TypeVar
from uuid import uuid4

import numpy as np
import typer

from evals.benchmarks.measuring import markdown, publish
from evals.dataset import Case
from evals.golden import golden_dataset, golden_subject
from evals.runner import SERVED_PASSAGES, prepared_engine
from retrieval.caching.inquiry import inquiry_of
from retrieval.caching.kept import KeptAnswer, kept_form
from retrieval.caching.shelf import Shelf
from retrieval.caching.wording import is_lasting, normalised, telling_words
from retrieval.domain import AnswerFinished, Question, Retrieval, Served
from retrieval.engine import Engine
from retrieval.generation.citations import cite
from retrieval.generation.sentences import terms
from retrieval.models.protocols import Embedder
from retrieval.searching import retrieve
from retrieval.serving import Missing
from retrieval.settings import DatabaseSettings, Settings

Result = TypeVar("Result")

_COSINES = (0.90, 0.95, 0.97, 0.98)
_OPPOSITES = [("before", "after"), ("maximum", "minimum"), ("who", "when"), ("may", "must"), ("with", "without")]
_VERBS = re.compile(r"\b(is|are|does|do|must|may|can|should|was|were|muss|darf|ist|sind|gilt|kann)\b")
_LOWER = re.compile(r"\b[a-zäöüß]{4,}\b")
_NAMED = re.compile(r"(?<=\s)[A-Z][a-z]{3,}\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two wordings, and whether one's answer would do for the other."""

    kind: str
    one: str
    other: str
    alike: bool


def main(
    data_dir: Annotated[Path, typer.Option(help="Holds the golden documents' index; made when it is not there")],
    record: Annotated[bool, typer.Option(help="Puts the result into RESULTS.md")] = False,
) -> None:
    """Prints what sharing an answer would do to each kind of pair, and what the cache costs a question."""
    settings = Settings(database=DatabaseSettings(data_dir=data_dir, database_url=None))
    publish("caching", "Kept answers", asyncio.run(_measure(settings)), record=record)


async def _measure(settings: Settings) -> str:
    cases = golden_dataset().cases
    lasting = [case for case in cases if is_lasting(case.text)]
    with tempfile.TemporaryDirectory() as files:
        async with prepared_engine(settings, golden_subject(), Path(files)) as (engine, _):
            assert not isinstance(engine.embedder, Missing)
            risk = _risk(engine.embedder, [*_golden_pairs(cases), *_turned_pairs(cases), *_reworded_pairs(cases)])
            cost = await _cost(engine, lasting)
    return f"{len(lasting)} of {len(cases)} golden questions may be kept at all.\n\n{risk}\n\n{cost}"


def _golden_pairs(cases: Sequence[Case]) -> Iterator[Pair]:
    for one, other in combinations(cases, 2):
        if one.caller.tenant == other.caller.tenant and one.text != other.text:
            yield Pair(kind="golden questions", one=one.text, other=other.text, alike=_same_answer(one, other))


def _same_answer(one: Case, other: Case) -> bool:
    return bool(one.answers) and {answer.quote for answer in one.answers} == {answer.quote for answer in other.answers}


def _turned_pairs(cases: Sequence[Case]) -> Iterator[Pair]:
    names = sorted({name for case in cases for name in _NAMED.findall(case.text)})
    words = sorted({word for case in cases for word in _content(case.text)})
    for case in cases:
        for kind, other in (*_turned(case.text, names), *_replaced(case.text, words)):
            if other != case.text:
                yield Pair(kind=kind, one=case.text, other=other, alike=False)


def _replaced(text: str, words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Each content word in its turn another one of the set's, and any two of them exchanged."""
    own = list(dict.fromkeys(_content(text)))
    for word in own:
        other = words[zlib.crc32(f"{text}{word}".encode()) % len(words)]
        yield "another word", re.sub(rf"\b{word}\b", other, text, count=1)
    for one, other in combinations(own, 2):
        exchanged = {one: other, other: one}
        yield "two words exchanged", re.sub(rf"\b(?:{one}|{other})\b", lambda word: exchanged[word[0]], text)  # noqa: B023


def _content(text: str) -> list[str]:
    return [word for word in _LOWER.findall(text) if terms(word)]


def _turned(text: str, names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The question with one word in it changed, so that it asks for something else."""
    yield "another number", re.sub(r"\d(?=\D*$)", lambda digit: str((int(digit[0]) + 1) % 10), text, count=1)
    yield "negated", _VERBS.sub(r"\1 not", text, count=1)
    yield "another name", _NAMED.sub(lambda name: names[(names.index(name[0]) + 7) % len(names)], text, count=1)
    for one, opposite in _OPPOSITES:
        yield "an opposite", re.sub(rf"\b{one}\b", opposite, text, count=1, flags=re.IGNORECASE)


def _reworded_pairs(cases: Sequence[Case]) -> Iterator[Pair]:
    for case in cases:
        bare = text.lower() if (text := case.text.rstrip("?. ")).isascii() and not _NAMED.search(text) else text
        for other in (bare, f"Please tell: {case.text}", case.text.replace("What is", "What's")):
            if normalised(other) != normalised(case.text):
                yield Pair(kind="reworded", one=case.text, other=other, alike=True)


def _risk(embedder: Embedder, pairs: Sequence[Pair]) -> str:
    texts = sorted({text for pair in pairs for text in (pair.one, pair.other)})
    vectors = dict(zip(texts, embedder.embed_documents(texts), strict=True))
    words = {text: telling_words(normalised(text)) for text in texts}
    rows = []
    for kind, alike in dict.fromkeys((pair.kind, pair.alike) for pair in pairs):
        some = [pair for pair in pairs if (pair.kind, pair.alike) == (kind, alike)]
        cosines = np.array([float(vectors[pair.one] @ vectors[pair.other]) for pair in some])
        agree = np.array([words[pair.one] == words[pair.other] for pair in some])
        shared = [f"{(cosines >= least).sum()} / {((cosines >= least) & agree).sum()}" for least in _COSINES]
        rows.append([f"{kind}, {'the same answer' if alike else 'another answer'}", len(some), *shared])
    return markdown(["pairs", "all", *(f"cosine ≥ {least:.2f}" for least in _COSINES)], rows) + (
        "\n\nPairs that would share an answer: by their embeddings / where the words that must agree do so, too."
    )


async def _cost(engine: Engine, cases: Sequence[Case]) -> str:
    spent: dict[str, list[float]] = {}
    for case in cases:
        question = Question(text=case.text, caller=case.caller, limit=SERVED_PASSAGES)
        found = await _timed(spent, "search", retrieve(engine, question))
        inquiry = inquiry_of(engine, question, found)
        if inquiry is None or not found.passages:
            continue
        shelf, holder = Shelf(engine.store, engine.settings.cache, inquiry), uuid4()
        await _timed(spent, "look-up that misses", shelf.find())
        await _timed(spent, "claim", shelf.claim(holder))
        await _timed(spent, "keep", shelf.keep(_answer(found)))
        await _timed(spent, "release", shelf.release(holder))
        assert await _timed(spent, "look-up that hits", shelf.find()) is not None
    rows = [[stage, *(f"{np.percentile(each, at):.1f} ms" for at in (50, 95))] for stage, each in spent.items()]
    return markdown(["what a question waits for", "p50", "p95"], rows)


def _answer(found: Retrieval) -> KeptAnswer:
    citations = tuple(cite(ranked, 0, min(80, len(ranked.passage.text)), 0.5) for ranked in found.passages[:2])
    finished = AnswerFinished(
        outcome="answered",
        text=" ".join(f"{citation.quote} [{citation.number}]" for citation in citations),
        citations=citations,
        rejected_citations=0,
        answered_by="none",
        usage=None,
        degraded=(),
        timings_ms={},
        served=Served(endpoint="none", model="none", attempts=1),
    )
    kept = kept_form(finished, found)
    assert kept is not None
    return kept


async def _timed(spent: dict[str, list[float]], stage: str, work: Awaitable[Result]) -> Result:
    begun = time.perf_counter()
    result = await work
    spent.setdefault(stage, []).append((time.perf_counter() - begun) * 1000)
    return result


if __name__ == "__main__":
    typer.run(main)
