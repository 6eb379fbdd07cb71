"""Quotations in a question: whoever writes "these very words" wants the passages that hold them first."""

import re
from collections.abc import Sequence

MOST_QUOTATIONS = 3
_LONGEST = 200

# English, German and French marks, straight or typographic. No apostrophes: they stand in too many words.
_QUOTATION = re.compile(rf'["“”„‟«»]([^"“”„‟«»]{{2,{_LONGEST}}})["“”„‟«»]')
_WORD = re.compile(r"[^\W_]+")


def quoted(question: str) -> tuple[str, ...]:
    """What stands between quotation marks and holds a word, at most three quotations."""
    found = (match[1].strip() for match in _QUOTATION.finditer(question))
    return tuple(dict.fromkeys(text for text in found if _WORD.search(text)))[:MOST_QUOTATIONS]


def held(quotations: Sequence[str], text: str) -> int:
    """How many of the quotations stand in the text: the same words in the same order, whatever is between them.

    Case, punctuation, line ends and emphasis do not count; endings do: "pumps" is not "pump".
    """
    words = _spaced(text)
    return sum(_spaced(quotation) in words for quotation in quotations)


def _spaced(text: str) -> str:
    return f" {' '.join(_WORD.findall(text.casefold()))} "
