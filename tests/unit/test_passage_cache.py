"""What the cache of token vectors holds, and how much of it."""

import sys

import numpy as np

from retrieval.models.passage_cache import PassageCache
from retrieval.models.protocols import TokenVectors

BYTES = 24
"""Of a token: its id and eight numbers in half precision."""


def _tokens(count: int) -> TokenVectors:
    return TokenVectors(ids=np.zeros(count, dtype=np.int64), vectors=np.ones((count, 8), dtype=np.float16))


def _cache(tokens: int, passages: int) -> PassageCache:
    """One with just enough room for so many tokens of so many passages named by a letter."""
    return PassageCache(tokens * BYTES + passages * sys.getsizeof("a"))


def test_the_longest_unused_is_forgotten_first() -> None:
    """Being asked for is being used, and so is being put again."""
    cache = _cache(tokens=30, passages=3)
    for passage in "abc":
        cache.put(passage, _tokens(10))
    assert cache.among("az").keys() == {"a"}
    cache.put("b", _tokens(10))
    cache.put("d", _tokens(10))
    assert cache.among("abcd").keys() == {"a", "b", "d"}


def test_a_passage_larger_than_the_cache_drives_nothing_out() -> None:
    """It is not held, and all others are."""
    cache = _cache(tokens=20, passages=2)
    for passage in "ab":
        cache.put(passage, _tokens(10))
    cache.put("c", _tokens(30))
    assert cache.among("abc").keys() == {"a", "b"}


def test_passages_without_a_token_take_room_too() -> None:
    """Their texts are counted, so that there is no end of memory for punctuation."""
    cache = _cache(tokens=0, passages=3)
    for passage in "?!.,;":
        cache.put(passage, _tokens(0))
    assert cache.among("?!.,;").keys() == {".", ",", ";"}


def test_without_room_nothing_is_held() -> None:
    """Not even a passage without a token."""
    cache = PassageCache(0)
    cache.put("a", _tokens(1))
    cache.put("", _tokens(0))
    assert not cache.among(["a", ""])
