"""What computes a local model's vectors must not be seen in them."""

import sys
from pathlib import Path

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from structlog.testing import capture_logs

from retrieval.errors import EmbedderUnavailable
from retrieval.models import backends
from retrieval.models.backends import LEAST_AGREEMENT, choose_backend
from retrieval.models.loading import load_embedder
from retrieval.models.minilm import minilm_path
from retrieval.models.openvino_backend import ConvertedModel
from retrieval.models.sentence_transformer import SentenceTransformerEmbedder
from retrieval.settings import EmbedderSettings

pytestmark = pytest.mark.model

TEXTS = [
    f"{'The harbour café opens at nine, the pump of line 7 is oiled (ERR-4012). ' * times} Über Nacht: {times} °C."
    for times in (0, 1, 2, 5, 10, 30)
]


@pytest.fixture(scope="module")
def model() -> SentenceTransformer:
    return SentenceTransformer(str(minilm_path()))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of one's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("precision", ["f32", "bf16"])
def test_openvino_agrees_with_torch(model: SentenceTransformer, precision: str) -> None:
    """Every vector's cosine with torch's is at least .9999, on all cores and on one, whatever the text's length."""
    converted = ConvertedModel(model)
    if precision not in converted.precisions():
        pytest.skip("this processor does not compute in it")
    expected = model.encode(TEXTS, normalize_embeddings=True)
    for threads in (0, 1):
        found = converted.compiled(precision, threads).encode(TEXTS, normalize_embeddings=True)
        assert (found * expected).sum(axis=1).min() >= LEAST_AGREEMENT


def test_the_name_does_not_tell_the_backend(minilm: SentenceTransformerEmbedder) -> None:
    """An index written by one backend is read by the other: the profile's name is the same."""
    by_torch = load_embedder(EmbedderSettings(backend="torch"))
    assert isinstance(by_torch, SentenceTransformerEmbedder)
    assert (by_torch.backend, minilm.backend[:8]) == ("torch", "openvino")
    assert by_torch.name == minilm.name


def test_a_conversion_is_kept(model: SentenceTransformer, cache: Path) -> None:
    """The second start reads what the first converted, and nothing half-written lies about."""
    first = ConvertedModel(model).compiled("f32").encode(TEXTS)
    [folder] = (cache / "pincite" / "openvino").iterdir()
    written = (folder / "model.bin").stat().st_mtime_ns
    np.testing.assert_array_equal(ConvertedModel(model).compiled("f32").encode(TEXTS), first)
    assert (folder / "model.bin").stat().st_mtime_ns == written
    assert list(folder.parent.iterdir()) == [folder]


@pytest.mark.parametrize("name", ["model.xml", "model.bin"])
def test_a_damaged_conversion_is_made_anew(model: SentenceTransformer, cache: Path, name: str) -> None:
    """Half a file does not cost every later start a conversion."""
    expected = ConvertedModel(model).compiled("f32").encode(TEXTS)
    [folder] = (cache / "pincite" / "openvino").iterdir()
    whole = (folder / name).stat().st_size
    with (folder / name).open("r+b") as file:
        file.truncate(whole // 2)
    np.testing.assert_allclose(ConvertedModel(model).compiled("f32").encode(TEXTS), expected, atol=1e-5)
    assert (folder / name).stat().st_size == whole


def test_a_precision_that_fails_is_passed_over(model: SentenceTransformer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next precision is tried before torch is."""
    compiled = ConvertedModel.compiled

    def failing(converted: ConvertedModel, precision: str, threads: int = 0) -> SentenceTransformer:
        if precision == "bf16":
            raise RuntimeError("no such instruction")
        return compiled(converted, precision, threads)

    monkeypatch.setattr(ConvertedModel, "precisions", lambda _: ("bf16", "f32"))
    monkeypatch.setattr(ConvertedModel, "compiled", failing)
    assert choose_backend(model, "auto").name == "openvino f32"


def test_without_a_place_to_keep_it_each_start_converts(model: SentenceTransformer, cache: Path) -> None:
    """A cache that cannot be written costs time, and nothing else."""
    (cache / "pincite").write_text("a file where the folder should be")
    ConvertedModel(model)


def test_without_openvino_torch_computes(model: SentenceTransformer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where OpenVINO is not installed the log says so and torch does the work; asked for by name, it is an error."""
    monkeypatch.delitem(sys.modules, "retrieval.models.openvino_backend")
    monkeypatch.setitem(sys.modules, "openvino", None)
    with capture_logs() as logged:
        assert choose_backend(model, "auto").name == "torch"
    assert [(entry["event"], entry["backend"]) for entry in logged] == [("embedder_falls_back", "torch")]
    assert "openvino" in logged[0]["reason"]
    with pytest.raises(EmbedderUnavailable, match="openvino"):
        choose_backend(model, "openvino")


def test_what_does_not_convert_is_left_to_torch(model: SentenceTransformer) -> None:
    """A model without a transformer runs as it is, and the log says why."""
    static = SentenceTransformer(modules=[StaticEmbedding(model.tokenizer, embedding_dim=8)])
    with capture_logs() as logged:
        assert choose_backend(static, "auto").documents is static
    assert "StaticEmbedding" in logged[0]["reason"]


def test_what_disagrees_is_left_to_torch(model: SentenceTransformer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Vectors that are not torch's are not used, however fast."""
    monkeypatch.setattr(backends, "LEAST_AGREEMENT", 1.1)
    with capture_logs() as logged:
        assert choose_backend(model, "auto").name == "torch"
    assert "differ" in logged[0]["reason"]


def test_nothing_is_reported_to_anyone(minilm: SentenceTransformerEmbedder) -> None:
    """The package by which OpenVINO's converter reports its use is kept from being imported."""
    assert minilm.backend.startswith("openvino")
    assert sys.modules["openvino_telemetry"] is None
