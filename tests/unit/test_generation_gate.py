"""When a generation may follow the live one, by the questions' measures alone."""

from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.dataset import Case
from evals.reembedding.gate import ENOUGH, Judged, verdict
from evals.reembedding.questions import read_questions
from evals.runner import Asked
from retrieval.access import caller
from retrieval.domain import ChunkKey, Degradation, Passage
from retrieval.errors import InvalidDataset


def judged(live: float, following: float, questions: int, p_value: float) -> Judged:
    return Judged(measure="nDCG@10", questions=questions, live=live, following=following, p_value=p_value)


@given(
    st.floats(0, 1), st.floats(0, 1), st.integers(1, 200), st.floats(0, 1, exclude_min=True), st.floats(0, 1)
)  # fmt: skip
def test_only_a_fall_beyond_the_tolerance_counts(
    live: float, following: float, questions: int, p_value: float, tolerance: float
) -> None:
    """A gain, or a fall within the tolerance, never speaks against a generation."""
    if following >= live - tolerance:
        assert not judged(live, following, questions, p_value).fell(tolerance)


def test_luck_excuses_a_fall_only_where_it_can_be_told() -> None:
    """With many questions a fall that may be luck passes; with few, nothing tells luck from loss, and it does not."""
    assert not judged(0.8, 0.7, ENOUGH, 0.3).fell(0.02)
    assert judged(0.8, 0.7, ENOUGH, 0.01).fell(0.02)
    assert judged(0.8, 0.7, ENOUGH - 1, 0.3).fell(0.02)


def asked(number: int, uris: list[str], *degraded: Degradation) -> Asked:
    case = Case(
        case_id=str(number), text="?", caller=caller("acme", []), kind="own", grades={f"{number}.md": 1}
    )  # fmt: skip
    return Asked(
        case=case,
        passages=tuple(passage(uri) for uri in uris),
        confidence=1.0,
        degraded=degraded,
        milliseconds=1.0,
        served=None,
    )


@pytest.mark.parametrize("grade", [0, 1])
def test_questions_that_find_nothing_say_nothing(grade: int) -> None:
    """Where nothing can fall, as with another tenant's documents or none called relevant, that is an objection."""
    lost = asked(1, ["other.md"])
    lost = replace(lost, case=replace(lost.case, grades={"1.md": grade}))
    [objection] = verdict([lost], [lost], 0.02).objections
    assert "say nothing" in objection


def test_what_finds_less_is_objected_to() -> None:
    """Where the relevant document is no longer found, both measures fall, and both are named."""
    live = [asked(at, [f"{at}.md", "other.md"]) for at in range(40)]
    worse = [asked(at, ["other.md"] if at < 20 else [f"{at}.md"]) for at in range(40)]
    found = verdict(live, worse, 0.02)
    assert [(each.live, each.following) for each in found.judged] == [(1.0, 0.5), (1.0, 0.5)]
    assert len(found.objections) == 2
    assert verdict(worse, live, 0.02).objections == ()


def test_a_comparison_without_a_part_is_worth_nothing() -> None:
    """Where a model gave way for a question, the measures do not count, however good they are."""
    live = [asked(0, ["0.md"])]
    [objection] = verdict(live, [asked(0, ["0.md"], Degradation.EMBEDDER_UNAVAILABLE)], 0.02).objections
    assert "without a part" in objection


@pytest.mark.parametrize(
    "line",
    [
        "{",
        '{"tenant": "acme", "question": "?", "relevant": []}',
        '{"tenant": "acme", "question": "?"}',
        '{"tenant": "A B", "question": "?", "relevant": ["a.md"]}',
        '{"tenant": "acme", "as": ["eng"], "question": "?", "relevant": ["a.md"]}',
        '{"tenant": "acme", "question": "?", "relevant": ["a.md"], "colour": 1}',
    ],
)
def test_a_bad_question_is_named(tmp_path: Path, line: str) -> None:
    """What cannot be asked is refused before anything is built or asked."""
    file = tmp_path / "questions.jsonl"
    file.write_text(line)
    with pytest.raises(InvalidDataset, match=r"questions\.jsonl"):
        read_questions(file)


def passage(uri: str) -> Passage:
    return Passage(
        key=ChunkKey(document_id=UUID(int=0), ordinal=0),
        uri=uri,
        version=1,
        title="",
        heading_path=(),
        text="text",
        char_start=0,
        char_end=4,
        first_page=None,
        last_page=None,
    )
