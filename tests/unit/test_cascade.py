"""Which tier a question starts at, and when a small model's answer is not good enough."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval.domain import Citation, Retrieval, TierReason
from retrieval.generation.cascade import GOOD_FIT, LOW_SUPPORT, POOR_FIT, convinces, declines, doubt, route
from retrieval.generation.citations import SUPPORT_FLOOR, cite
from tests.unit.test_citations import LEAVE, ranked

CITATION = cite(ranked(1, LEAVE), 10, 42, 1.0)


def _found(confidence: float = 0.6) -> Retrieval:
    return Retrieval(passages=(), confidence=confidence, degraded=(), timings_ms={})


@pytest.mark.parametrize(
    ("question", "reason"),
    [
        ("How many days of leave are there?", "routed_simple"),
        ("Wie viele Urlaubstage gibt es?", "routed_simple"),
        ("What does error QH-7 mean?", "routed_simple"),
        ("How often does the red pump need oil?", "routed_simple"),
        ("Wie lange gilt der Pass?", "routed_simple"),
        ("Who was on call? Who is next?", "routed_several_questions"),
        ("What is the difference between the two plans?", "routed_comparison"),
        ("Compare the travel policies of 2024 and 2025.", "routed_comparison"),
        ("Vergleiche die beiden Tarife", "routed_comparison"),
        ("Worin unterscheiden sich Tarif A und B?", "routed_comparison"),
        ("List all holidays.", "routed_comparison"),
        ("Why was the gate closed?", "routed_explanation"),
        ("Warum wurde das Tor geschlossen?", "routed_explanation"),
        ("How does the scanner connect?", "routed_explanation"),
        ("Wie funktioniert der Scanner?", "routed_explanation"),
        (" ".join(["word"] * 31), "routed_long"),
    ],
)
def test_a_question_starts_where_its_signs_say(question: str, reason: str) -> None:
    """Each sign has a code of its own, and only the code for none leads to the small tier."""
    started = route(question, _found())
    assert started.reason == reason
    assert started.tier == ("small" if reason == "routed_simple" else "large")


def test_passages_that_fit_poorly_are_read_by_the_large_tier() -> None:
    """However simple the question is."""
    assert route("How many days?", _found(POOR_FIT - 0.01)).reason is TierReason.ROUTED_LOW_CONFIDENCE
    assert route("How many days?", _found(POOR_FIT)).tier == "small"


@given(st.text(max_size=300), st.floats(0, 1))
def test_every_question_has_a_route(question: str, confidence: float) -> None:
    """Whatever is asked, and the same one each time."""
    first = route(question, _found(confidence))
    assert first == route(question, _found(confidence))
    assert (first.tier == "small") == (first.reason is TierReason.ROUTED_SIMPLE)


@pytest.mark.parametrize("size", [2**10, 2**14])
@pytest.mark.parametrize("piece", ["alle x ", "fasse ", "cannot ", "weiß ", "how ", "do n", "? "])
def test_hostile_texts_are_read_in_time(piece: str, size: int) -> None:
    """No text makes the rules try every way to divide it."""
    route(piece * (size // len(piece)), _found())
    declines((piece * 400)[:400])


@pytest.mark.parametrize(
    ("text", "declined"),
    [
        ("I do not know from these documents.", True),
        ("I don't know.", True),
        ("The passages do not mention a red pump.", True),
        ("There is no information about that.", True),
        ("The price is not specified in the passages.", True),
        ("Das weiß ich nicht.", True),
        ("Dazu steht in den Dokumenten nichts.", True),
        ("Aus diesen Passagen kann ich das nicht beantworten.", True),
        ("The pump was built by Elvis.", False),
        ("Annual leave is 30 days.", False),
        ("I do not know. " + "It may be so. " * 40, False),
    ],
)
def test_not_knowing_is_known_by_its_words(text: str, declined: bool) -> None:
    """Short texts that say so, in English and German; a long one says other things as well."""
    assert declines(text) is declined


def _cited(support: float) -> Citation:
    return replace(CITATION, support=support)


@pytest.mark.parametrize(
    ("citations", "declined", "confidence", "reason"),
    [
        ((_cited(LOW_SUPPORT),), False, 0.9, None),
        ((_cited(SUPPORT_FLOOR), _cited(1.0)), False, 0.9, None),
        ((_cited(SUPPORT_FLOOR),), False, 0.9, "escalated_low_support"),
        ((), False, 0.9, "escalated_no_citation"),
        ((), False, 0.1, "escalated_no_citation"),
        ((), True, GOOD_FIT, "escalated_declined"),
        ((), True, GOOD_FIT - 0.01, None),
    ],
)
def test_a_small_models_answer_is_doubted_for_a_reason(
    citations: tuple[Citation, ...], declined: bool, confidence: float, reason: str | None
) -> None:
    """One citation that convinces is enough; not knowing is believed where the passages fit badly."""
    assert doubt(citations, confidence, declined=declined) == reason


def test_what_convinces_holds_but_not_the_other_way_round() -> None:
    """The cascade asks for more than a citation needs to stay."""
    assert SUPPORT_FLOOR < LOW_SUPPORT
    assert not convinces(_cited(SUPPORT_FLOOR))
