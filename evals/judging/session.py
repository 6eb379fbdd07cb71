"""A run's answers put before a judge, together with what tells how far the judge may be believed."""

import asyncio
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from evals.dataset import SEED
from evals.judging.controls import Control, controls
from evals.judging.judge import Judge, verdict_key
from evals.judging.kept import KeptVerdicts
from evals.judging.rubric import RUBRIC_VERSION, build_prompt
from evals.judging.submission import Submission, submission_of
from evals.judging.verdict import Unjudged, Verdict
from evals.runner import Asked, OnCase
from retrieval.generation.packing import count_tokens

GOLDEN_ANSWERS = 20
"""So many become controls, three each: with 60 labels kappa is known to about ±.2."""
REPEATED = 20
"""So many answers are judged again with their passages in another order."""
AT_ONCE = 4
"""Verdicts asked for together."""

Judged = Verdict | Unjudged


@dataclass(frozen=True, slots=True, kw_only=True)
class Agenda:
    """What to judge: the answers and some of them reordered, by question id, and the controls."""

    controls: tuple[Control, ...]
    answers: Mapping[str, Submission]
    reordered: Mapping[str, Submission]

    @property
    def submissions(self) -> list[Submission]:
        """All of them, the controls first: without them no other verdict is worth anything."""
        return [*(each.submission for each in self.controls), *self.answers.values(), *self.reordered.values()]


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What judging will take, if no reply has to be asked for twice."""

    kept: int
    to_ask: int
    prompt_tokens: int

    def __str__(self) -> str:
        return f"{self.to_ask} verdicts to ask for, about {self.prompt_tokens:,} tokens in; {self.kept} are kept"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdicts:
    """What was said: of each control, each answer, and each that was judged again, in the agenda's order.

    `kept`: how many were had before. Tokens are those of this run's calls, `estimated` where a server did not say.
    """

    judge: str
    rubric: str
    of_controls: tuple[Judged, ...]
    of_answers: Mapping[str, Judged]
    of_reordered: Mapping[str, Judged]
    kept: int
    calls: int
    prompt_tokens: int
    completion_tokens: int
    estimated: bool


def agenda(asked: Sequence[Asked]) -> Agenda:
    """What there is to judge: whatever was written as an answer; a refusal says nothing that could be wrong."""
    answers = {
        each.case.case_id: submission_of(each.case.text, each.served)
        for each in asked
        if each.served and each.served.outcome in {"answered", "unsupported"} and each.served.text.strip()
    }
    # One passage has one order: judged again, it would agree with itself and prove nothing.
    several = {case_id: found for case_id, found in answers.items() if len(found.sources) > 1}
    drawn = random.Random(SEED).sample(sorted(several), min(REPEATED, len(several)))  # noqa: S311 - not a secret
    return Agenda(
        controls=controls(asked, GOLDEN_ANSWERS),
        answers=answers,
        reordered={case_id: several[case_id].reordered() for case_id in drawn},
    )


def estimate(plan: Agenda, model: str, kept: KeptVerdicts) -> Estimate:
    """Counts what is not kept, each different submission once."""
    different = _by_key(plan.submissions, model)
    to_ask = [each for key, each in different.items() if kept.get(key, each) is None]
    prompts = map(build_prompt, to_ask)
    tokens = sum(count_tokens(prompt.system) + count_tokens(prompt.user) for prompt in prompts)
    return Estimate(kept=len(different) - len(to_ask), to_ask=len(to_ask), prompt_tokens=tokens)


async def hold(plan: Agenda, judge: Judge, kept: KeptVerdicts, on_verdict: OnCase = lambda: None) -> Verdicts:
    """Every submission's verdict, from the file or from the judge. Raises `InvalidDataset` as `KeptVerdicts` does."""
    different = _by_key(plan.submissions, judge.model)
    known = {key: found for key, each in different.items() if (found := kept.get(key, each)) is not None}
    unknown = {key: each for key, each in different.items() if key not in known}
    judged: Mapping[str, Judged] = {**known, **await _ask(unknown, judge, kept, on_verdict)}

    def of(submission: Submission) -> Judged:
        return judged[verdict_key(judge.model, submission)]

    return Verdicts(
        judge=judge.model,
        rubric=RUBRIC_VERSION,
        of_controls=tuple(of(each.submission) for each in plan.controls),
        of_answers={case_id: of(each) for case_id, each in plan.answers.items()},
        of_reordered={case_id: of(each) for case_id, each in plan.reordered.items()},
        kept=len(known),
        calls=judge.calls,
        prompt_tokens=sum(usage.prompt_tokens for usage in judge.used),
        completion_tokens=sum(usage.completion_tokens for usage in judge.used),
        estimated=any(usage.estimated for usage in judge.used),
    )


async def _ask(
    unknown: Mapping[str, Submission], judge: Judge, kept: KeptVerdicts, on_verdict: OnCase
) -> dict[str, Judged]:
    """Each is kept as soon as it is there: what was paid for outlives a run that is broken off."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def turn(key: str, submission: Submission) -> Judged:
        async with gate:
            verdict = await judge.verdict(submission)
        if isinstance(verdict, Verdict):
            kept.keep(key, verdict, judge=judge.model, rubric=RUBRIC_VERSION)
        on_verdict()
        return verdict

    turns = {key: asyncio.create_task(turn(key, each)) for key, each in unknown.items()}
    try:
        return dict(zip(turns, await asyncio.gather(*turns.values()), strict=True))
    finally:
        for each in turns.values():
            each.cancel()


def _by_key(submissions: Iterable[Submission], model: str) -> dict[str, Submission]:
    return {verdict_key(model, each): each for each in submissions}
