"""Measures, by hand-computed examples."""

import math
from uuid import UUID

import pytest

from evals.dataset import Case, Dataset, GoldenAnswer
from evals.measures import Leak, latency, leaks, measure
from evals.runner import Asked, Served
from retrieval.access import TenantId, caller
from retrieval.domain import ChunkKey, Citation, Passage

ADA = caller("halden", ["user:ada"])
DOCUMENT = UUID(int=1)


def passage(uri: str, text: str = "text") -> Passage:
    return Passage(
        key=ChunkKey(document_id=DOCUMENT, ordinal=0),
        version=1,
        uri=uri,
        title="",
        heading_path=(),
        text=text,
        char_start=0,
        char_end=len(text),
        first_page=None,
        last_page=None,
    )


def citation(uri: str, quote: str = "quote") -> Citation:
    return Citation(
        number=1,
        document_id=DOCUMENT,
        version=1,
        uri=uri,
        title="",
        heading_path=(),
        first_page=None,
        last_page=None,
        char_start=0,
        char_end=len(quote),
        quote=quote,
        support=1.0,
    )


def case(*answers: tuple[str, str], neutral: tuple[str, ...] = (), grades: dict[str, int] | None = None) -> Case:
    return Case(
        case_id="1",
        text="?",
        caller=ADA,
        kind="factual",
        grades=grades or {uri: 1 for uri, _ in answers},
        answers=tuple(GoldenAnswer(uri=uri, quote=quote) for uri, quote in answers),
        neutral=frozenset(neutral),
    )


def asked(of: Case, *uris: str, served: Served | None = None) -> Asked:
    return Asked(
        case=of,
        passages=tuple(map(passage, uris)),
        confidence=0.5,
        degraded=(),
        milliseconds=1.0,
        served=served,
    )


def served(*citations: Citation, passages: tuple[Passage, ...] = (), outcome: str = "answered") -> Served:
    return Served(
        outcome=outcome,
        text="",
        passages=passages,
        citations=citations,
        valid=tuple(True for _ in citations),
        degraded=(),
        milliseconds=1.0,
    )


def value(of: Asked, name: str) -> float:
    return measure([of])[name]["1"]


def test_ranking_measures() -> None:
    """nDCG has linear gains and a log2 discount; recall counts relevant documents; MRR looks at the first of them."""
    found = asked(case(grades={"a": 3, "b": 1}), "x", "a", "b")

    assert value(found, "nDCG@10") == pytest.approx((3 / math.log2(3) + 1 / math.log2(4)) / (3 + 1 / math.log2(3)))
    assert value(found, "MRR@10") == pytest.approx(1 / 2)
    assert value(found, "recall@5") == 1


def test_best_passage_counts() -> None:
    """A document ranks once, by its best passage: five passages of one do not push the next out of the first five."""
    found = asked(case(grades={"a": 1, "b": 1}), "a", "a", "a", "a", "a", "b")

    assert value(found, "recall@5") == 1
    assert value(found, "nDCG@10") == pytest.approx(1)


def test_neutral_documents() -> None:
    """A neutral document neither helps nor hurts: what follows it moves up."""
    assert value(asked(case(("a", "q"), neutral=("n",)), "n", "a"), "MRR@10") == 1
    assert value(asked(case(("a", "q")), "n", "a"), "MRR@10") == 0.5


def test_cut_off() -> None:
    """An eleventh document is too late."""
    found = asked(case(grades={"a": 1}), *map(str, range(10)), "a")

    assert [value(found, name) for name in ("nDCG@10", "recall@5", "recall@10", "MRR@10")] == [0, 0, 0, 0]


def test_nothing_found() -> None:
    """A question that found nothing counts as 0, not as unasked."""
    assert value(asked(case(grades={"a": 1})), "nDCG@10") == 0


def test_unanswerable_has_no_ranking() -> None:
    """What has no answer is not judged by its ranking, only by whether it was refused."""
    values = measure([asked(case(), "a", served=served(outcome="refused"))])

    assert values == {"refusals": {"1": 1.0}}


def test_span_recall() -> None:
    """A golden quote is found when a passage of its own document holds it, white space aside."""
    golden = case(("a", "two  words"), ("b", "more"))
    inside = (passage("a", "here are two\n words"), passage("a", "more"))

    assert value(asked(golden, served=served(passages=inside)), "span recall@8") == 0.5


def test_citation_measures() -> None:
    """Precision is over citations, recall over golden answers; by document, and by words in common."""
    golden = case(("a", "the pump hums"), ("b", "a valve"), neutral=("n",))
    cited = served(
        citation("a", "the pump hums loudly"), citation("a", "other"), citation("x", "a valve"), citation("n")
    )
    found = asked(golden, served=cited)

    assert value(found, "citation precision (document)") == pytest.approx(2 / 3)
    assert value(found, "citation recall (document)") == 0.5
    assert value(found, "citation precision (quote)") == pytest.approx(1 / 3)
    assert value(found, "citation recall (quote)") == 0.5


def test_refusing_an_answerable_question() -> None:
    """A false refusal cites nothing: recall is 0, precision is not said."""
    values = measure([asked(case(("a", "q")), "a", served=served(outcome="refused"))])

    assert values["false refusals"]["1"] == 1
    assert values["citation recall (document)"]["1"] == 0
    assert "citation precision (document)" not in values


def test_broken_answer_is_no_refusal() -> None:
    """An answer that broke off is not taken for a refusal, right or false."""
    assert value(asked(case(), served=served(outcome="llm_unavailable")), "refusals") == 0
    assert value(asked(case(("a", "q")), served=served(outcome="llm_unavailable")), "false refusals") == 0


def test_citation_validity() -> None:
    """Validity is the share of citations that stand where they say."""
    half = Served(
        outcome="answered",
        text="",
        passages=(),
        citations=(citation("a"), citation("a")),
        valid=(True, False),
        degraded=(),
        milliseconds=1.0,
    )

    assert value(asked(case(("a", "q")), served=half), "citation validity") == 0.5


def test_leaks() -> None:
    """Each document shown that its owner did not allow, or of another tenant, or unknown, is a leak, named once."""
    halden = {"halden/open": frozenset({"everyone"}), "halden/secret": frozenset({"group:board"})}
    dataset = Dataset(
        name="",
        cases=(),
        acls={TenantId("halden"): halden, TenantId("other"): {"other/open": frozenset({"everyone"})}},
        writes_answers=True,
        fingerprint="",
    )
    shown = served(citation("halden/secret"), passages=(passage("other/open"),))

    found = leaks(dataset, [asked(case(), "halden/open", "halden/secret", "halden/secret", "made/up", served=shown)])

    assert set(found) == {
        Leak(case_id="1", uri="halden/secret", place="passage"),
        Leak(case_id="1", uri="halden/secret", place="citation"),
        Leak(case_id="1", uri="other/open", place="passage"),
        Leak(case_id="1", uri="made/up", place="passage"),
    }
    assert len(found) == 4


def test_latency() -> None:
    """Latency is the median and the 95th percentile, in milliseconds; of nothing there is none."""
    found = latency(map(float, range(101)))

    assert found is not None
    assert (found.p50, found.p95) == (50, 95)
    assert latency([]) is None
