"""What a reranker's scores do to the fused order."""

from collections.abc import Sequence
from uuid import UUID

from retrieval.domain import Candidate, ChunkKey, Passage
from retrieval.search.fusion import FusedPassage
from retrieval.search.reranking import Reranked, rerank
from retrieval.settings import RerankerSettings
from tests.fakes import OverlapReranker

TEXTS = ("nothing", "a pump", "nothing at all", "a red pump", "red pump here", "more")


def _fused(text: str, place: int) -> FusedPassage:
    key = ChunkKey(document_id=UUID(int=place), ordinal=0)
    return FusedPassage(
        candidate=Candidate(key=key, dense_rank=None, lexical_rank=None, cosine=0, bm25=0, score=1 - place / 100),
        passage=Passage(
            key=key,
            uri=f"{place}.md",
            version=1,
            title="",
            heading_path=(),
            text=text,
            char_start=0,
            char_end=len(text),
            first_page=None,
            last_page=None,
        ),
        context="",
    )


async def _reranked(reach: int, top_n: int) -> Reranked:
    fused = [_fused(text, place) for place, text in enumerate(TEXTS)]
    return await rerank(OverlapReranker(reach), "red pump", fused, RerankerSettings(top_n=top_n, weight=10))


def _texts(reranked: Reranked) -> list[str]:
    return [found.passage.text for found in reranked.passages]


async def test_the_best_fit_comes_first_and_the_rest_stays_behind() -> None:
    """The first `top_n` in their new order, ties in fused order, then the others as they were."""
    reranked = await _reranked(reach=100, top_n=5)
    assert _texts(reranked) == ["a red pump", "red pump here", "a pump", "nothing", "nothing at all", "more"]
    assert not reranked.partial
    assert [found.rerank_score is None for found in reranked.passages] == [False] * 5 + [True]


async def test_what_was_not_scored_keeps_its_place() -> None:
    """Scored passages change places among themselves; each of the others is where fusion put it, and it is declared."""
    reranked = await _reranked(reach=4, top_n=6)
    assert _texts(reranked) == ["a red pump", "a pump", "nothing", "nothing at all", "red pump here", "more"]
    assert reranked.partial


async def test_one_score_alone_moves_nothing() -> None:
    """Of a single score there is no telling whether it is high."""
    assert _texts(await _reranked(reach=1, top_n=6)) == list(TEXTS)


class EvenReranker(OverlapReranker):
    """Finds every passage as good as any other."""

    async def score(self, question: str, passages: Sequence[str]) -> list[float | None]:
        del question
        return [0.3] * len(passages)


async def test_equal_scores_move_nothing() -> None:
    """Of seven times .3 the standard deviation is not 0 but a rounding error, which must not become a score."""
    fused = [_fused("a", place) for place in range(7)]
    without, reranked = [
        await rerank(EvenReranker(), "a", fused, RerankerSettings(weight=weight)) for weight in (0, 1000)
    ]
    assert reranked == without
