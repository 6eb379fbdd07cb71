"""A real CrossEncoder, built from the weights at hand. Its head is untrained: shapes and states, not quality."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from retrieval.access import caller
from retrieval.domain import Degradation, Question
from retrieval.engine import open_engine
from retrieval.errors import RerankerUnavailable
from retrieval.models.cross_encoder import CrossEncoderReranker
from retrieval.models.minilm import minilm_path
from retrieval.models.protocols import Embedder
from retrieval.searching import retrieve
from retrieval.settings import RerankerSettings, Settings

pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cross-encoder on disk."""
    import torch
    from sentence_transformers import CrossEncoder

    path = tmp_path_factory.mktemp("cross-encoder")
    torch.manual_seed(0)  # the head's: an order of chance, but the same in each run
    CrossEncoder(str(minilm_path()), num_labels=1).save_pretrained(str(path))
    return path


@pytest.fixture
async def reranker(folder: Path) -> AsyncIterator[CrossEncoderReranker]:
    made = CrossEncoderReranker(RerankerSettings(model=str(folder), budget=60))
    yield made
    await made.close()


async def test_one_score_per_passage(reranker: CrossEncoderReranker) -> None:
    """Scores are as many as passages, and the same for the same pair."""
    scores = await reranker.score("How often is oil needed?", ["Every week.", "Blue.", "Every week."])
    assert len(scores) == 3
    assert scores[0] == pytest.approx(scores[2], abs=1e-4)
    await reranker.ping()


async def test_a_closed_one_says_so(folder: Path) -> None:
    """`RerankerUnavailable`, at once."""
    closed = CrossEncoderReranker(RerankerSettings(model=str(folder), budget=60))
    await closed.close()
    with pytest.raises(RerankerUnavailable, match="closed"):
        await closed.score("pump", ["a pump"])


async def test_it_takes_part_in_a_search(folder: Path, sample_settings: Settings, minilm: Embedder) -> None:
    """Configured by path, it re-reads the best passages; nothing is lost, nothing degraded."""
    question = Question(text="on-call handover", caller=caller("halden", ["group:engineering"]), limit=8)
    plain = replace(sample_settings, reranker=RerankerSettings(provider="none"))
    async with open_engine(plain, embedder=minilm) as engine:
        fused = await retrieve(engine, replace(question, limit=30))
    settings = replace(sample_settings, reranker=RerankerSettings(model=str(folder), top_n=5, weight=5.0, budget=60))
    async with open_engine(settings, embedder=minilm) as engine:
        reranked = await retrieve(engine, replace(question, limit=30))
    assert reranked.degraded == ()
    first, second = ([ranked.passage.key for ranked in found.passages] for found in (fused, reranked))
    assert set(first[:5]) == set(second[:5])
    assert first[5:] == second[5:]


async def test_too_slow_is_given_up(folder: Path, sample_settings: Settings, minilm: Embedder) -> None:
    """Past its time-out the fused order stands, declared."""
    settings = replace(sample_settings, reranker=RerankerSettings(model=str(folder), budget=0.000_001))
    async with open_engine(settings, embedder=minilm) as engine:
        found = await retrieve(engine, Question(text="handover", caller=caller("halden", []), limit=3))
    assert found.degraded == (Degradation.RERANKER_UNAVAILABLE,)
    assert found.passages


def test_a_folder_without_a_model_is_said_so(tmp_path: Path) -> None:
    """Loading what is not there is `RerankerUnavailable`, naming it."""
    with pytest.raises(RerankerUnavailable, match="nothing-here"):
        CrossEncoderReranker(RerankerSettings(model=str(tmp_path / "nothing-here")))
