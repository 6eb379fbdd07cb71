"""Settings of the reranker that contradict each other, or mean nothing, are refused."""

import pytest

from retrieval.errors import InvalidSettings
from retrieval.settings import Settings


@pytest.fixture
def set_reranker(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> pytest.MonkeyPatch:
    """An environment without a `.env` to read."""
    monkeypatch.chdir(tmp_path_factory.mktemp("empty"))
    return monkeypatch


@pytest.mark.parametrize("setting", ["PINCITE_RERANKER_URL", "PINCITE_RERANKER_API_KEY"])
@pytest.mark.parametrize("provider", ["auto", "late-interaction", "sentence-transformers"])
def test_what_no_one_would_use_is_refused(set_reranker: pytest.MonkeyPatch, setting: str, provider: str) -> None:
    """An endpoint without a provider that asks it is a mistake, and the message says which settings belong together."""
    set_reranker.setenv(setting, "http://localhost/rerank")
    set_reranker.setenv("PINCITE_RERANKER_PROVIDER", provider)
    if provider == "sentence-transformers":
        set_reranker.setenv("PINCITE_RERANKER_MODEL", "any")
    with pytest.raises(InvalidSettings, match=f"{setting} is used only with PINCITE_RERANKER_PROVIDER=cohere or tei"):
        Settings()


def test_switched_off_the_rest_may_stay(set_reranker: pytest.MonkeyPatch) -> None:
    """`none` says plainly that nothing is asked."""
    set_reranker.setenv("PINCITE_RERANKER_PROVIDER", "none")
    set_reranker.setenv("PINCITE_RERANKER_URL", "http://localhost/rerank")
    assert Settings().reranker.kind == "none"


@pytest.mark.parametrize("number", ["nan", "inf"])
@pytest.mark.parametrize("setting", ["PINCITE_RERANKER_WEIGHT", "PINCITE_RERANKER_BUDGET", "PINCITE_EMBEDDER_TIMEOUT"])
def test_numbers_are_finite(set_reranker: pytest.MonkeyPatch, setting: str, number: str) -> None:
    """Infinity and no number at all are no weight and no time."""
    set_reranker.setenv(setting, number)
    with pytest.raises(InvalidSettings, match="finite"):
        Settings()
