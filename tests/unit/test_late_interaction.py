"""Late interaction with a fake embedder: what is read, what is remembered, what is late."""

import pytest

from retrieval.errors import RerankerUnavailable
from retrieval.models.late_interaction import LateInteractionReranker
from retrieval.settings import RerankerSettings
from tests.fakes import WordTokenEmbedder


def _reranker(embedder: WordTokenEmbedder, cache_mb: int = 1) -> LateInteractionReranker:
    return LateInteractionReranker(embedder, RerankerSettings(cache_mb=cache_mb))


async def test_every_word_of_the_question_looks_for_its_own_match() -> None:
    """A passage that holds all words has the full score, one that holds some of them less."""
    all_words, half, none = await _reranker(WordTokenEmbedder()).score(
        "old pump", ["the pump in the hall by the old mill", "a pump, and much more", "oil"]
    )
    assert all_words == pytest.approx(1, abs=0.01)
    assert half is not None
    assert none is not None
    assert none < half < 0.9


async def test_a_passage_met_before_is_not_read_again() -> None:
    """Token vectors are kept by text; the same passage twice is read once, with the same score."""
    embedder = WordTokenEmbedder()
    reranker = _reranker(embedder)
    first = await reranker.score("pump", ["a pump", "oil", "a pump"])
    assert await reranker.score("pump", ["oil", "a pump"]) == [first[1], first[0]]
    assert embedder.read == ["pump", "a pump", "oil", "pump"]


async def test_what_is_late_has_no_score_and_comes_in_next_time() -> None:
    """Passages that time did not reach are None; what was read is kept, so that the next call gets further."""
    embedder = WordTokenEmbedder(reach=2)
    reranker = _reranker(embedder)
    assert [score is None for score in await reranker.score("oil", ["one", "two", "three"])] == [False, False, True]
    assert None not in await reranker.score("oil", ["one", "two", "three"])


async def test_what_comes_too_late_counts_next_time() -> None:
    """Passages whose vectors came after the budget are not read again."""
    embedder = WordTokenEmbedder(reach=1, late=True)
    reranker = _reranker(embedder)
    assert [score is None for score in await reranker.score("oil", ["one", "two", "three"])] == [False, True, True]
    assert None not in await reranker.score("oil", ["one", "two", "three"])
    assert embedder.read == ["oil", "one", "two", "three", "oil"]


async def test_nothing_in_time_is_a_failure() -> None:
    """No question and no passage: `RerankerUnavailable`, and so is a broken embedder."""
    embedder = WordTokenEmbedder(reach=0)
    with pytest.raises(RerankerUnavailable, match="in time"):
        await _reranker(embedder).score("oil", ["one", "two"])
    embedder.broken = True
    with pytest.raises(RerankerUnavailable, match="broken"):
        await _reranker(embedder).score("oil", ["one"])


async def test_nothing_to_compare_is_no_reason_to_prefer() -> None:
    """A question or passage without a word scores 0."""
    assert await _reranker(WordTokenEmbedder()).score("?!", ["one", ""]) == [0.0, 0.0]
