"""Whether a generation may take the live one's place: the same questions asked of both."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from evals.dataset import Dataset
from evals.evaluation import Progress
from evals.measures import Values, mean, measure
from evals.runner import Asked, ask
from evals.significance import LEVEL, paired_p_value
from retrieval.database.generations import Generation
from retrieval.engine import open_engine
from retrieval.serving import LoadEmbedder
from retrieval.settings import Settings

MEASURES = ("nDCG@10", "recall@10")
ENOUGH = 30
"""With fewer questions luck cannot be told from loss: any fall beyond the tolerance counts."""
_PATIENCE = 60.0  # seconds: a busy machine must not change a ranking


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A measure's mean over the questions, of the live generation and of the one that is to follow it."""

    measure: str
    questions: int
    live: float
    following: float
    p_value: float

    def fell(self, tolerance: float) -> bool:
        """True when it is worse by more than the tolerance, and not by luck as far as one can tell."""
        beyond = self.live - self.following > tolerance + 1e-9
        return beyond and (self.p_value < LEVEL or self.questions < ENOUGH)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The measures, and what speaks against the generation: nothing, where it may follow."""

    judged: tuple[Judged, ...]
    objections: tuple[str, ...]


async def judge(
    settings: Settings,
    dataset: Dataset,
    generation: Generation,
    tolerance: float,
    progress: Progress,
    load: LoadEmbedder | None = None,
) -> Verdict:
    """Asks both generations everything. Raises `StoreUnavailable`, `EmbedderUnavailable` and `IndexMismatch`."""
    async with open_engine(_patient(settings), load=load) as engine:
        asked = {}
        for name, each in (("live", engine), ("following", await engine.on(generation))):
            asked[name] = await ask(each, dataset, answers=False, on_case=progress(name, len(dataset.cases)))
    return verdict(asked["live"], asked["following"], tolerance)


def verdict(live: Sequence[Asked], following: Sequence[Asked], tolerance: float) -> Verdict:
    """By the paired differences of each question's measures; parts that gave way make a comparison worthless."""
    before, after = measure(live), measure(following)
    judged = tuple(_judged(name, before, after) for name in MEASURES)
    degraded = sum(bool(each.degraded) for each in (*live, *following))
    objections = [
        f"{each.measure} falls from {each.live:.3f} to {each.following:.3f} (p = {each.p_value:.3f})"
        for each in judged
        if each.fell(tolerance)
    ]
    if not all(each.live > 0 for each in judged):
        # Another tenant's, or nobody's: neither finds anything, and nothing falls.
        objections.append("the live generation finds nothing that the questions call relevant: they say nothing")
    if degraded:
        objections.append(f"{degraded} questions were served without a part: nothing can be said")
    return Verdict(judged=judged, objections=tuple(objections))


def _judged(name: str, before: Values, after: Values) -> Judged:
    old, new = _of(before, name), _of(after, name)
    cases = [case for case in old if case in new]
    return Judged(
        measure=name,
        questions=len(cases),
        live=mean(old[case] for case in cases),
        following=mean(new[case] for case in cases),
        p_value=paired_p_value([new[case] - old[case] for case in cases]),
    )


def _of(values: Values, name: str) -> Mapping[str, float]:
    return values.get(name, {})


def _patient(settings: Settings) -> Settings:
    return replace(
        settings,
        embedder=settings.embedder.model_copy(update={"timeout": _PATIENCE}),
        reranker=settings.reranker.model_copy(update={"budget": _PATIENCE}),
        search=settings.search.model_copy(update={"shadow_rate": 0.0}),
    )
