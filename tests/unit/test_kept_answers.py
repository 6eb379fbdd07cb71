"""A kept answer says the same over other passages, or nothing."""

import re
from collections.abc import Sequence
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from retrieval.caching.kept import KEPT, KeptAnswer, fitted, kept_form
from retrieval.domain import AnswerFinished, Degradation, RankedPassage, Retrieval, Served, Usage
from retrieval.generation.citations import cite
from tests.unit.test_citations import ranked

TEXTS = tuple(f"Rule {name} holds for everyone in the yard." for name in "abcdefgh")
KNOWN = tuple(ranked(number, text) for number, text in enumerate(TEXTS, 1))


def found(*passages: RankedPassage) -> Retrieval:
    """A search that found these, numbered in this order."""
    numbered = tuple(replace(each, number=number) for number, each in enumerate(passages, 1))
    return Retrieval(passages=numbered, confidence=1.0, degraded=(), timings_ms={})


def written(retrieval: Retrieval, cited: Sequence[int], more: str = "") -> AnswerFinished:
    """An answer that quotes the passages of these numbers, each before its marker."""
    by_number = {each.number: each for each in retrieval.passages}
    text = "".join(f'"{by_number[number].passage.text}" [{number}] ' for number in cited)
    return AnswerFinished(
        outcome="answered",
        text=text + more,
        citations=tuple(cite(by_number[number], 0, 8, 0.5) for number in cited),
        rejected_citations=0,
        answered_by="m",
        usage=Usage(prompt_tokens=1, completion_tokens=1, estimated=False),
        degraded=(),
        timings_ms={},
        served=Served(endpoint="e", model="m", attempts=2),
    )


def kept(finished: AnswerFinished, retrieval: Retrieval) -> KeptAnswer:
    """As it comes back from the database."""
    form = kept_form(finished, retrieval)
    assert form is not None
    return KEPT.validate_python(KEPT.dump_python(form, mode="json"))


orders = st.permutations(range(8))


@given(first=orders, second=orders, size=st.integers(1, 8), cited=st.sets(st.integers(0, 7), min_size=1))
def test_a_marker_stays_with_its_passage(first: list[int], second: list[int], size: int, cited: set[int]) -> None:
    """In whatever order a later search finds the passages, each marker names the passage it named; where one that is
    cited is missing, there is no answer."""
    before, after = found(*(KNOWN[at] for at in first)), found(*(KNOWN[at] for at in second[:size]))
    finished = written(before, [first.index(at) + 1 for at in sorted(cited)])
    answer = fitted(kept(finished, before), after)
    if not cited <= set(second[:size]):
        assert answer is None
        return
    assert answer is not None
    texts = {each.number: each.passage.text for each in after.passages}
    marked = re.findall(r'"([^"]+)" \[(\d+)\]', answer.text)
    assert [text for text, _ in marked] == [TEXTS[at] for at in sorted(cited)]
    assert all(texts[int(number)] == text for text, number in marked)
    assert [texts[citation.number][:8] for citation in answer.citations] == [one.quote for one in finished.citations]
    assert (answer.usage, answer.served) == (None, Served(endpoint="e", model="m", attempts=0))


def test_what_is_new_and_stands_before_the_evidence_is_to_be_read_first() -> None:
    """A passage that the answer was not written from may hold a better one; behind what is cited it does not count."""
    before = found(*KNOWN[:3])
    form = kept(written(before, [2]), before)
    assert fitted(form, found(KNOWN[0], KNOWN[7], KNOWN[1])) is None
    assert fitted(form, found(KNOWN[0], KNOWN[1], KNOWN[7])) is not None


def test_another_version_is_another_passage() -> None:
    """So are other words, another place, another title."""
    before = found(*KNOWN[:2])
    form = kept(written(before, [1]), before)
    passage = KNOWN[0].passage
    for changed in (
        replace(passage, version=2),
        replace(passage, text=passage.text.upper()),
        replace(passage, char_start=0),
        replace(passage, title="Draft"),
    ):
        assert fitted(form, found(replace(KNOWN[0], passage=changed), KNOWN[1])) is None


def test_code_that_looks_like_a_marker_is_not_rewritten() -> None:
    """Where markers would have to change and some may be code, there is no answer; where none changes, there is."""
    before = found(*KNOWN[:2])
    form = kept(written(before, [1], "`row[2]`"), before)
    same, swapped = fitted(form, before), fitted(form, found(KNOWN[1], KNOWN[0]))
    assert same is not None
    assert same.text.endswith("`row[2]`")
    assert swapped is None


def test_only_good_answers_are_kept() -> None:
    """With citations, of an LLM, answered, and with nothing that gave way."""
    before = found(*KNOWN[:2])
    good = written(before, [1])
    assert kept_form(good, before) is not None
    for bad in (
        replace(good, citations=()),
        replace(good, outcome="unsupported"),
        replace(good, served=None),
        replace(good, degraded=(Degradation.RERANKER_PARTIAL,)),
    ):
        assert kept_form(bad, before) is None
