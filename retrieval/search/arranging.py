"""The order settled: what holds the question's quotations first, what only says the same again last."""

import re
from collections.abc import Sequence
from dataclasses import replace

from retrieval.search.fusion import FusedPassage
from retrieval.search.phrases import held

ALIKE = 0.9
"""Passages that share so many of their words (of those in either) say the same, unless a number or a `not` differs."""

_WORD = re.compile(r"\w+")
_NEGATIONS = frozenset(("no", "not", "nor", "never", "none", "without", "cannot", "t"))  # don't: don, t
_NEGATIONS |= frozenset(("nicht", "kein", "keine", "keinen", "keinem", "keiner", "keines", "nie", "niemals", "ohne"))


def arrange(found: Sequence[FusedPassage], quotations: Sequence[str], wanted: int) -> tuple[FusedPassage, ...]:
    """The order stands, but for two things; no passage is lost.

    Passages that hold more of the quotations come before those that hold fewer. And among the first `wanted` no two
    say the same: the better one stays, and names the documents of those that are moved behind it.
    """
    if quotations:
        found = sorted(found, key=lambda each: -held(quotations, each.passage.text))
    kept: list[FusedPassage] = []
    words: list[frozenset[str]] = []
    copies: list[FusedPassage] = []
    examined = 0
    for each in found:
        if len(kept) == wanted:
            break
        examined += 1
        these = frozenset(_WORD.findall(f"{each.context} {each.passage.text}".casefold()))
        original = next((at for at, others in enumerate(words) if _say_the_same(these, others)), None)
        if original is None:
            kept.append(each)
            words.append(these)
        else:
            kept[original] = _with_copy(kept[original], each)
            copies.append(each)
    return (*kept, *copies, *found[examined:])


def _say_the_same(words: frozenset[str], others: frozenset[str]) -> bool:
    """Two editions that differ in a number, or where one says `not`, do not."""
    fewer, more = sorted((len(words), len(others)))
    if fewer < ALIKE * more:
        return False
    common = len(words & others)
    if common < ALIKE * (fewer + more - common):
        return False
    return not any(word in _NEGATIONS or any(map(str.isdigit, word)) for word in words ^ others)


def _with_copy(original: FusedPassage, copy: FusedPassage) -> FusedPassage:
    documents = {*original.duplicates, *copy.duplicates, copy.passage.key.document_id}
    return replace(original, duplicates=tuple(sorted(documents - {original.passage.key.document_id})))
