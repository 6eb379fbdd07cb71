"""What the paths rely on in a model, asked of the fakes and of the real ones alike."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

from retrieval.errors import EmbedderUnavailable
from retrieval.models.late_interaction import LateInteractionReranker
from retrieval.models.loading import load_embedder
from retrieval.models.protocols import Embedder, Reranker, TokenEmbedder, Vectors
from retrieval.models.sentence_transformer import SentenceTransformerEmbedder
from retrieval.settings import EmbedderSettings, RerankerSettings
from tests.fakes import OverlapReranker, WordEmbedder, WordTokenEmbedder


@pytest.fixture(scope="module")
def minilm_by_torch() -> Embedder:
    return load_embedder(EmbedderSettings(backend="torch"))


@pytest.fixture(
    params=["words", *(pytest.param(name, marks=pytest.mark.model) for name in ("minilm", "minilm_by_torch"))]
)
def embedder(request: pytest.FixtureRequest) -> Embedder:
    model: Embedder = request.getfixturevalue(request.param)
    return model


def test_vectors_are_unit_length_and_in_order(embedder: Embedder) -> None:
    """One unit vector per text, in the order given, whatever the lengths; no texts give no vectors."""
    texts = ["short", "a much longer text about pressure sensors " * 4, "short"]
    vectors = embedder.embed_documents(texts)
    assert vectors.shape == (3, embedder.dimensions)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(vectors[0], vectors[2], atol=1e-5)
    assert embedder.embed_documents([]).shape[0] == 0


async def test_a_question_is_embedded_like_a_document(embedder: Embedder) -> None:
    """The same text has the same vector on both paths."""
    question = await embedder.embed_question("calibration of sensors")
    np.testing.assert_allclose(question, embedder.embed_documents(["calibration of sensors"])[0], atol=1e-5)


def test_related_texts_are_nearer_than_unrelated_ones(embedder: Embedder) -> None:
    """Inner products order by relatedness."""
    vectors = embedder.embed_documents(["vacation days per year", "how many vacation days", "pump firmware update"])
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2]


def test_tokens_are_counted_without_truncation(embedder: Embedder) -> None:
    """A text longer than the model's limit has a count above the limit; the empty text costs only special tokens."""
    empty, long = embedder.count_tokens(["", "word " * 2 * embedder.max_tokens])
    assert empty <= 2
    assert long > embedder.max_tokens


async def test_many_threads_get_what_one_gets(embedder: Embedder) -> None:
    """Documents, questions and counts at the same time bring the same as one after the other."""
    texts = [f"sensor {'word ' * (index * 7 % 400)}" for index in range(40)]
    vectors, counts = embedder.embed_documents(texts), embedder.count_tokens(texts)
    question = await embedder.embed_question("sensor word")
    with ThreadPoolExecutor(4) as threads:
        embedding = [threads.submit(embedder.embed_documents, texts) for _ in range(2)]
        counting = [threads.submit(embedder.count_tokens, texts) for _ in range(20)]
        for _ in range(10):
            np.testing.assert_allclose(await embedder.embed_question("sensor word"), question, atol=1e-5)
    for one in embedding:
        np.testing.assert_allclose(one.result(), vectors, atol=1e-5)
    assert all(one.result() == counts for one in counting)


async def test_what_is_embedded_while_a_caller_waits_is_the_same(embedder: Embedder) -> None:
    """Both ways bring the same vectors."""
    texts = ["the red pump", "vacation days"]
    np.testing.assert_allclose(await embedder.embed_now(texts), embedder.embed_documents(texts), atol=1e-5)


@pytest.mark.model
async def test_a_vector_without_a_direction_is_a_failure(minilm: Embedder, monkeypatch: pytest.MonkeyPatch) -> None:
    """NaN from a broken model is `EmbedderUnavailable`, not a question that the database chokes on."""
    assert isinstance(minilm, SentenceTransformerEmbedder)
    monkeypatch.setattr(minilm._models.questions, "encode", lambda *_args, **_options: np.full((1, 384), np.nan))
    with pytest.raises(EmbedderUnavailable, match="NaN"):
        await minilm.embed_question("pump")


@pytest.mark.model
async def test_a_question_does_not_wait_for_documents(minilm: Embedder, monkeypatch: pytest.MonkeyPatch) -> None:
    """A question is answered while the thread of the documents is busy, by a model with the same weights."""
    assert isinstance(minilm, SentenceTransformerEmbedder)
    answered, encode = Event(), minilm._encode

    def waiting(model: SentenceTransformer, texts: list[str]) -> Vectors:
        if texts == ["documents"]:
            assert answered.wait(60)
        return encode(model, texts)

    monkeypatch.setattr(minilm, "_encode", waiting)
    embedding = asyncio.create_task(asyncio.to_thread(minilm.embed_documents, ["documents"]))
    await minilm.embed_question("pump")
    answered.set()
    assert (await embedding).shape == (1, minilm.dimensions)
    models = minilm._models
    assert len({id(model.tokenizer) for model in (models.documents, models.passages, models.questions)}) == 3


async def test_a_living_model_answers_a_ping(embedder: Embedder) -> None:
    """`ping` returns."""
    await embedder.ping()


@pytest.fixture(params=["overlap", "late interaction", pytest.param("over minilm", marks=pytest.mark.model)])
def reranker(request: pytest.FixtureRequest) -> Reranker:
    if request.param == "overlap":
        return OverlapReranker()
    embedder = request.getfixturevalue("minilm") if "minilm" in request.param else WordTokenEmbedder()
    return LateInteractionReranker(embedder, RerankerSettings(budget=60))


async def test_a_reranker_scores_every_passage(reranker: Reranker) -> None:
    """One score per passage, higher for the better one, the same for the same; no passages have no scores."""
    scores = await reranker.score("vacation days", ["pumps", "vacation days in Norway", "", "pumps"])
    assert len(scores) == 4
    assert scores[1] == max(score for score in scores if score is not None)
    assert scores[0] == pytest.approx(scores[3])
    assert await reranker.score("vacation days", []) == []
    await reranker.ping()


@pytest.mark.model
async def test_tokens_are_those_that_say_something(minilm: Embedder) -> None:
    """Unit vectors, one per word piece; the model's own signs and punctuation have none, nor has padding."""
    assert isinstance(minilm, TokenEmbedder)
    alone, longer, empty, marks = await minilm.embed_tokens(["pump", "pump, pump! (a pump)", "", "?!"], seconds=60)
    assert alone
    assert longer
    assert empty
    assert marks
    assert [len(each.ids) for each in (alone, longer, empty, marks)] == [1, 4, 0, 0]
    np.testing.assert_allclose(np.linalg.norm(longer.vectors.astype(np.float32), axis=1), 1, atol=1e-2)
    assert longer.ids[0] == alone.ids[0]


@pytest.mark.model
async def test_what_time_does_not_reach_is_none(minilm: Embedder) -> None:
    """Texts whose time is over before their batch begins have no tokens, and no time is spent on them."""
    assert isinstance(minilm, TokenEmbedder)
    assert await minilm.embed_tokens(["pump"] * 3, seconds=0) == [None] * 3


@pytest.mark.model
async def test_a_cached_search_does_not_wait_for_passages(minilm: Embedder, monkeypatch: pytest.MonkeyPatch) -> None:
    """A question's tokens are there while the thread of the passages is busy."""
    assert isinstance(minilm, SentenceTransformerEmbedder)
    reranker = LateInteractionReranker(minilm, RerankerSettings(budget=60))
    expected = await reranker.score("pump", ["a pump", "oil"])
    begun, answered, encode = Event(), Event(), minilm._models.passages.encode

    def waiting(*texts: object, **options: object) -> object:
        begun.set()
        assert answered.wait(60)
        return encode(*texts, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(minilm._models.passages, "encode", waiting)
    reading = asyncio.create_task(minilm.embed_tokens(["another passage"] * 10, seconds=60))
    await asyncio.to_thread(begun.wait, 60)
    assert await reranker.score("pump", ["a pump", "oil"]) == pytest.approx(expected, abs=1e-3)
    answered.set()
    assert None not in await reading


@pytest.mark.model
async def test_tokens_that_are_none_are_a_failure(minilm: Embedder, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that gives something else than token vectors is `EmbedderUnavailable`."""
    assert isinstance(minilm, SentenceTransformerEmbedder)
    monkeypatch.setattr(minilm._models.questions, "encode", lambda *_args, **_options: [{"sentence_embedding": 1}])
    with pytest.raises(EmbedderUnavailable, match="failed"):
        await minilm.embed_question_tokens("pump", seconds=60)


@pytest.mark.model
async def test_a_closed_model_says_so() -> None:
    """Who asks after the end is told `EmbedderUnavailable`, whatever is asked, and does not wait."""
    embedder = load_embedder(EmbedderSettings())
    assert isinstance(embedder, SentenceTransformerEmbedder)
    await embedder.close()
    for asked in (embedder.embed_question("a"), embedder.embed_now(["a"]), embedder.embed_tokens(["a"], 60)):
        with pytest.raises(EmbedderUnavailable, match="closed"):
            await asked


def test_the_fake_can_be_broken() -> None:
    """A broken fake raises as a real one would."""
    words = WordEmbedder()
    words.broken = True
    with pytest.raises(Exception, match="broken on purpose"):
        words.embed_documents(["x"])
