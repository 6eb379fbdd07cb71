"""Controls, golden labels, and what verdicts on them come to."""

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from evals.dataset import Case
from evals.judging.controls import Control, controls, golden_relevance
from evals.judging.judgement import Judgement, judgement
from evals.judging.report import judgement_json, print_judgement
from evals.judging.session import Agenda, Judged, Verdicts, agenda
from evals.judging.submission import Submission
from evals.judging.verdict import Dimension, Reason, Unjudged, Verdict
from evals.runner import Asked
from retrieval.access import tenant_id
from tests.unit.test_eval_measures import asked, case, citation, passage, served

FOUNDED, RELEVANT, CITED = Dimension.GROUNDEDNESS, Dimension.RELEVANCE, Dimension.CITATION_SUPPORT
UNJUDGED = Unjudged(reason=Reason.UNAVAILABLE, detail="it did not respond in time")


def golden(at: int, served_as: str = "answered") -> Asked:
    """Question `at`, whose answer stands in a document of its own; the answer given cites it."""
    uri, words = f"doc-{at}", f"The pump number {at} runs at {at} bar."
    of = replace(case((uri, words)), case_id=str(at), text=f"How many bar has pump {at}?")
    given = replace(
        served(citation(uri, words), passages=(passage(uri, words),), outcome=served_as), text=f"{words} [1]"
    )
    others = [passage(f"doc-{at + 1}", f"The pump number {at + 1} runs at {at + 1} bar."), passage("x", "Unrelated.")]
    return replace(asked(of, served=given), passages=(passage(uri, f"Pumps. {words}"), *others))


RUN = [golden(at) for at in range(30)]


def graded(submission: Submission, *, founded: bool, relevant: bool, cited: bool) -> Verdict:
    """A verdict of extremes."""
    return Verdict.model_validate_json(
        json.dumps(
            {
                "reason": "",
                "sentences": [
                    {"sentence": at, "supported": "yes" if founded else "no"}
                    for at, _ in enumerate(submission.sentences, 1)
                ],
                "citations": [
                    {"citation": at, "support": "supports" if cited else "not"}
                    for at, _ in enumerate(submission.citations, 1)
                ],
                "relevance": 4 if relevant else 0,
            }
        )
    )


def right(control: Control) -> Verdict:
    good = control.good
    return graded(control.submission, founded=good[FOUNDED], relevant=good[RELEVANT], cited=good[CITED])


def verdicts(plan: Agenda, *, of_controls: Sequence[Judged], answers: Any = None) -> Verdicts:
    """Full marks for every answer, but for those given."""
    full = {case_id: graded(each, founded=True, relevant=True, cited=True) for case_id, each in plan.answers.items()}
    return Verdicts(
        judge="m",
        rubric="1",
        of_controls=tuple(of_controls),
        of_answers={**full, **(answers or {})},
        of_reordered={},
        kept=0,
        calls=1,
        prompt_tokens=10,
        completion_tokens=5,
        estimated=False,
    )


def test_three_controls_for_each_golden_answer() -> None:
    """Founded and to the point; made up and to the point; founded and beside the point: each grade occurs in each."""
    found = controls(RUN, 5)

    assert len(found) == 15
    labels = [(each.good[FOUNDED], each.good[RELEVANT], each.good[CITED]) for each in found[:3]]
    assert labels == [(True, True, True), (False, True, False), (True, False, True)]


def test_controls_say_what_their_labels_say() -> None:
    """What is founded stands in its passage and is quoted from it; what is made up stands in none; what is beside the
    point is another question's answer."""
    for at, each in enumerate(controls(RUN, 30)):
        [sentence], [source], [cited] = each.submission.sentences, each.submission.sources, each.submission.citations
        words = sentence.removesuffix(" [1]")
        assert (words in source.text) is each.good[FOUNDED]
        assert (cited.quote == words) is each.good[FOUNDED]
        asked_for = each.submission.question.removesuffix("?").rpartition(" ")[2]
        assert (f"number {asked_for} " in words) is each.good[RELEVANT], at


def test_controls_are_always_the_same() -> None:
    """The same run has the same controls, so that their verdicts are found again."""
    assert controls(RUN, 7) == controls(RUN, 7)
    assert controls(RUN, 100) == controls(RUN, 30)


def test_no_control_from_a_document_that_is_about_it() -> None:
    """A passage of a relevant or neutral document is no proof of anything made up: without others there is none."""
    first = golden(0)
    neutral = replace(first.case, neutral=frozenset({"doc-1", "x"}))

    [only] = controls([replace(first, case=neutral)], 1)

    assert only.good[FOUNDED]


def test_no_control_from_the_same_words_elsewhere() -> None:
    """A document that happens to say the same proves nothing made up, whatever the judgements know of it."""
    first = golden(0)
    copies = [replace(each, text=f"Copied. {first.case.answers[0].quote}") for each in first.passages]

    [only] = controls([replace(first, passages=tuple(copies))], 1)

    assert only.good[FOUNDED]


def test_no_control_from_another_tenant() -> None:
    """Nobody's question is answered with another tenant's words, not even in a made-up answer."""
    elsewhere = replace(golden(1).case.caller, tenant=tenant_id("elsewhere"))
    other = replace(golden(1), case=replace(golden(1).case, caller=elsewhere))

    found = controls([golden(0), other], 2)

    assert len(found) == 4
    assert all(each.good[RELEVANT] for each in found)


@pytest.mark.parametrize(
    ("of", "cited", "label"),
    [
        (case(("a", "thirty days")), ("a", "It is thirty  days a year."), True),
        (case(("a", "thirty days a year")), ("a", "thirty days"), True),
        (case(("a", "thirty days")), ("a", "something else"), None),
        (case(("a", "thirty days"), neutral=("n",)), ("n", "thirty days"), None),
        (case(("a", "thirty days")), ("b", "thirty days"), False),
        (case(), ("a", "thirty days"), False),
    ],
)
def test_golden_relevance(of: Case, cited: tuple[str, str], label: bool | None) -> None:
    """A golden answer's words are to the point, another document's or an unanswerable question's are not; in between
    nothing is claimed."""
    assert golden_relevance(asked(of, served=served(citation(*cited)))) is label


def test_what_is_judged() -> None:
    """Answers are judged, also unsupported ones; refusals and what broke off are not."""
    outcomes = ["answered", "unsupported", "refused", "llm_interrupted"]
    run = [golden(at, outcome) for at, outcome in enumerate(outcomes)]

    assert list(agenda(run).answers) == ["0", "1"]


def test_only_several_passages_have_another_order() -> None:
    """An answer from one passage is not judged again: it could only agree with itself."""
    two = served(citation("doc-0"), citation("x"), passages=(passage("doc-0"), passage("x")))
    both = replace(golden(0), served=replace(two, text="A [1]. B [1].", citations=(two.citations[0],)))
    several = replace(golden(1), served=replace(two, text="A. B.", citations=()))

    assert list(agenda([both, several]).reordered) == ["1"]


def judged(
    plan: Agenda, of_controls: Sequence[Judged], gates: dict[Dimension, float], answers: Any = None
) -> Judgement:
    return judgement(RUN, plan, verdicts(plan, of_controls=of_controls, answers=answers), gates, ["a note"])


def test_a_judge_that_is_right() -> None:
    """Who grades every control as it is labelled is trusted in everything, and its gates pass."""
    plan = agenda(RUN)
    found = judged(plan, [right(each) for each in plan.controls], dict.fromkeys(Dimension, 0.9))

    assert len(plan.controls) == 60
    assert all(each.trusted and each.agreement.kappa == 1 and each.value == 1 for each in found.findings)
    assert found.golden_relevance.accuracy == 1
    assert found.objections == ()


def test_a_judge_that_is_always_pleased() -> None:
    """Full marks for everything are no agreement: nobody trusts them, and no gate passes by them."""
    plan = agenda(RUN)
    pleased = [graded(each.submission, founded=True, relevant=True, cited=True) for each in plan.controls]
    found = judged(plan, pleased, {FOUNDED: 0.5})

    assert not any(each.trusted for each in found.findings)
    assert found.objections == ("groundedness has a gate, and the judge is not to be trusted in it",)


def test_trust_is_by_dimension() -> None:
    """A judge may see what is founded and not what is to the point."""
    plan = agenda(RUN)
    half = [
        graded(each.submission, founded=each.good[FOUNDED], relevant=True, cited=each.good[CITED])
        for each in plan.controls
    ]
    found = judged(plan, half, {})

    assert [each.trusted for each in found.findings] == [True, False, True]


def test_few_controls_prove_nothing() -> None:
    """A judge that is right on a handful of controls is not trusted yet."""
    plan = agenda(RUN)
    few = [right(each) if at < 12 else UNJUDGED for at, each in enumerate(plan.controls)]
    found = judged(plan, few, {})

    assert [each.agreement.labels for each in found.findings] == [12, 12, 12]
    assert not any(each.trusted for each in found.findings)


def test_unjudged_is_no_score() -> None:
    """An answer without a verdict is left out of the mean and counted; too many of them, and no gate passes."""
    plan = agenda(RUN)
    known = [right(each) for each in plan.controls]
    few = judged(plan, known, {FOUNDED: 1.0}, {"0": UNJUDGED})
    many = judged(plan, known, {FOUNDED: 1.0}, dict.fromkeys(map(str, range(4)), UNJUDGED))

    assert (few.findings[0].value, few.findings[0].answers, few.unjudged) == (1.0, 29, {"unavailable": 1})
    assert few.objections == ()
    assert many.objections == ("groundedness has a gate, and 13% of the answers have no verdict",)


def test_a_gate() -> None:
    """A mean below its gate stops the run; one that has no gate does not."""
    plan = agenda(RUN)
    bad = {str(at): graded(plan.answers[str(at)], founded=False, relevant=False, cited=True) for at in range(6)}
    found = judged(plan, [right(each) for each in plan.controls], {FOUNDED: 0.9, CITED: 0.9}, bad)

    assert found.objections == ("groundedness is 0.800, below its gate of 0.9",)


def test_a_gate_over_nothing() -> None:
    """Where nothing was judged a gate does not pass."""
    plan = replace(agenda(RUN), answers={})

    [*_, last] = judged(plan, [right(each) for each in plan.controls], {FOUNDED: 0.0}).objections

    assert last == "groundedness is nan, below its gate of 0"


def test_judged_twice() -> None:
    """Consistency is the share of grades that another order of passages leaves as they were."""
    plan = agenda(RUN)
    first = verdicts(plan, of_controls=[UNJUDGED] * 60)
    again: dict[str, Judged] = {
        "0": graded(plan.answers["0"], founded=True, relevant=True, cited=True),
        "1": graded(plan.answers["1"], founded=False, relevant=True, cited=True),
        "2": UNJUDGED,
    }
    found = judgement(RUN, plan, replace(first, of_reordered=again), {})

    same = found.consistency
    assert (same.answers, same.relevance, same.sentences, same.citations) == (2, 1.0, 0.5, 1.0)
    assert found.unjudged_in_all == {"unavailable": 61}


def test_the_section_in_words() -> None:
    """The report says who judged, what cannot be trusted, how much is unjudged, and what it took."""
    plan = agenda(RUN)
    console = Console(file=StringIO(), width=150)
    found = judged(plan, [UNJUDGED] * 60, {}, {"0": UNJUDGED})
    print_judgement(console, found)

    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "judged by m, rubric 1" in text
    assert "without a verdict: 1 unavailable of 30 answers (3%)" in text
    assert text.count("0 known grades are too few") == 3
    assert "1 calls, 10 tokens in, 5 out" in text
    assert "a note" in text


def test_a_judge_that_disagrees_in_words() -> None:
    """Who grades wrongly is said to, with how wrong it may be."""
    plan = agenda(RUN)
    pleased = [graded(each.submission, founded=True, relevant=True, cited=True) for each in plan.controls]
    console = Console(file=StringIO(), width=150)
    print_judgement(console, judged(plan, pleased, {}))

    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "not to be trusted in relevance: its agreement with 60 known grades may be as low as kappa 0.00" in text


def test_the_section_in_json() -> None:
    """The JSON holds every verdict or why there is none, and no number that JSON does not know."""
    plan = agenda(RUN)
    content = judgement_json(judged(plan, [UNJUDGED] * 60, {}, {"0": UNJUDGED}))
    read = json.loads(json.dumps(content, allow_nan=False))

    assert read["verdicts"]["0"] == {"unjudged": "unavailable", "detail": UNJUDGED.detail}
    assert read["verdicts"]["1"]["relevance"] == 4
    assert read["dimensions"]["groundedness"]["agreement"]["kappa"] is None
    assert read["unjudged_in_all"] == {"unavailable": 61}
    assert math.isclose(read["share_unjudged"], 1 / 30)
