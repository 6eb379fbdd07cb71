"""Made-up texts whose words are spread as in real ones, and questions about them.

Shaped after 59,532 chunks of the five public sets this project is developed on (in brackets): 51 different words (51)
in a chunk of 78 without stop words; the most frequent stands in 27 % (31 %) of the chunks, the 100th in 5.0 % (6.1 %),
the 1,000th in .8 % (1.0 %), the 10,000th in .08 % (.03 %); half of a question's words stand in fewer than .9 % (.7 %),
a quarter in fewer than .14 % (.15 %). A chunk takes most words from its topic's own few: that is what makes rare words
come in company, and a question answerable.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

WORDS_PER_CHUNK = 78
CHUNKS_PER_TOPIC = 50
_SEED = 20261121
_VOCABULARY = 1_000_000
_EXPONENT = 1.6
_SHIFT, _TOPIC_SHIFT = 40, 1500
"""A word's chance falls as (rank + shift) ^ -exponent: a topic's own words are rarer than the others."""
_TOPIC_WORDS = 120
_FROM_TOPIC = 0.75
_ASKED_OF_CHUNK = 0.9
_CONSONANTS, _VOWELS = "bdfgklmnprstvz", "aeiou"


@dataclass(frozen=True)
class MadeUpWords:
    """`chunk_count` texts; those of one topic, `CHUNKS_PER_TOPIC` of them, lie side by side."""

    chunk_count: int

    def ranks(self, chunk: int) -> NDArray[np.int64]:
        """The chunk's words as ranks in the vocabulary, the most frequent is 0."""
        rng = np.random.default_rng((_SEED, 11, chunk))
        topic = self._topic(chunk // CHUNKS_PER_TOPIC)
        own = topic[(_TOPIC_WORDS ** rng.random(WORDS_PER_CHUNK)).astype(np.int64) - 1]
        return np.where(rng.random(WORDS_PER_CHUNK) < _FROM_TOPIC, own, _drawn(rng, WORDS_PER_CHUNK, _SHIFT))

    def text(self, chunk: int) -> str:
        """The chunk's text."""
        return " ".join(word(rank) for rank in self.ranks(chunk))

    def questions(self, count: int) -> list[str]:
        """Two to twelve words each, most of which stand in one of the chunks."""
        rng = np.random.default_rng((_SEED, 12))
        found: list[str] = []
        for chunk in rng.integers(self.chunk_count, size=count):
            length = int(np.clip(round(rng.normal(6.6, 3)), 2, 12))
            about = rng.choice(np.unique(self.ranks(int(chunk))), size=length, replace=False)
            asked = np.where(rng.random(length) < _ASKED_OF_CHUNK, about, _drawn(rng, length, _SHIFT))
            found.append(" ".join(word(int(rank)) for rank in asked))
        return found

    def _topic(self, topic: int) -> NDArray[np.int64]:
        return _drawn(np.random.default_rng((_SEED, 13, topic)), _TOPIC_WORDS, _TOPIC_SHIFT)


def _drawn(rng: np.random.Generator, count: int, shift: int) -> NDArray[np.int64]:
    return np.searchsorted(_cumulated(shift), rng.random(count)).astype(np.int64)


@cache
def _cumulated(shift: int) -> NDArray[np.float64]:
    chances = (np.arange(_VOCABULARY) + float(shift)) ** -_EXPONENT
    summed: NDArray[np.float64] = np.cumsum(chances / chances.sum())
    return summed


def word(rank: int) -> str:
    """A word that no stemmer shortens and no stop list holds: syllables, and a k."""
    syllables = ""
    rest = rank + len(_CONSONANTS) * len(_VOWELS)
    while rest:
        rest, at = divmod(rest, len(_CONSONANTS) * len(_VOWELS))
        syllables += _CONSONANTS[at // len(_VOWELS)] + _VOWELS[at % len(_VOWELS)]
    return syllables + "k"
