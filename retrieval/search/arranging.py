"""The order settled: what holds the question's quotations first, what only says the same again last."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from retrieval.search.fusion import FusedPassage
from retrieval.search.phrases import held

ALIKE = 0.9
"""Passages may say the same where one holds all words of the other, and these are so many of its own."""

_WORD = re.compile(r"\w+")
_NEGATIONS = frozenset(("no", "not", "nor", "never", "none", "without", "cannot", "t"))  # don't: don, t
_NEGATIONS |= frozenset(("nicht", "kein", "keine", "keinen", "keinem", "keiner", "keines", "nie", "niemals", "ohne"))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Words:
    """A passage's words in their order, each of them once, and those of the line it was embedded with."""

    text: tuple[str, ...]
    distinct: frozenset[str]
    context: frozenset[str]


def _words(found: FusedPassage) -> _Words:
    text = tuple(_WORD.findall(found.passage.text.casefold()))
    context = frozenset(_WORD.findall(found.context.casefold()))
    return _Words(text=text, distinct=frozenset(text), context=context)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arranged:
    """Passages in their order, of which the first `distinct` each say something of their own."""

    passages: tuple[FusedPassage, ...]
    distinct: int


def arrange(found: Sequence[FusedPassage], quotations: Sequence[str], wanted: int) -> Arranged:
    """The order stands, but for two things; no passage is lost.

    Passages that hold more of the quotations come before those that hold fewer. And among the first `wanted` no two
    say the same: the better one stays, and names the documents of those that are moved behind it.
    """
    if quotations:
        found = sorted(found, key=lambda each: -held(quotations, each.passage.text))
    kept: list[FusedPassage] = []
    words: list[_Words] = []
    copies: list[FusedPassage] = []
    examined = 0
    for each in found:
        if len(kept) == wanted:
            break
        examined += 1
        these = _words(each)
        original = next((at for at, others in enumerate(words) if _say_the_same(these, others)), None)
        if original is None:
            kept.append(each)
            words.append(these)
        else:
            kept[original] = _with_copy(kept[original], each)
            copies.append(replace(each, duplicates=()))
    return Arranged(passages=(*kept, *copies, *found[examined:]), distinct=len(kept))


def _say_the_same(one: _Words, other: _Words) -> bool:
    """One may have a few words more, but none in place of the other's (`granted`, `refused`), and no other order.

    Two editions that differ in a number, or where one says `not`, do not say the same.
    """
    shorter, longer = sorted((one, other), key=lambda words: len(words.distinct))
    if not shorter.distinct or len(shorter.distinct) < ALIKE * len(longer.distinct):
        return False
    if not shorter.distinct <= longer.distinct:
        return False
    apart = (longer.distinct - shorter.distinct) | (one.context ^ other.context)
    if any(word in _NEGATIONS or any(map(str.isdigit, word)) for word in apart):
        return False
    return tuple(word for word in longer.text if word in shorter.distinct) == shorter.text


def _with_copy(original: FusedPassage, copy: FusedPassage) -> FusedPassage:
    documents = {*original.duplicates, *copy.duplicates, copy.passage.key.document_id}
    return replace(original, duplicates=tuple(sorted(documents - {original.passage.key.document_id})))
