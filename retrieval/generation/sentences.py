"""Where a text's sentences stand, and which words in them carry meaning.

Everything here returns offsets into the text it was given: `text[start:end]`, never a reworded copy.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import sentencex

UnitKind = Literal["sentence", "row", "item", "code", "heading"]

CODE_WEIGHT = 3.0
"""What a number or code (`8.33`, `QH-7`) weighs beside a word: a wrong one makes the claim wrong."""

PARTIAL_CREDIT = 0.5
"""Credit for a word inside another (`Urlaub` in `Jahresurlaub`), which suffix stripping cannot bring together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """The smallest piece worth citing: a sentence, a table row, a list item, a line of code, or a heading."""

    start: int
    end: int
    kind: UnitKind


_LONGEST_SENTENCE = 400
_WINDOW = 4000
_LINE = re.compile(r"[^\n]*\n|[^\n]+\Z")
_FENCE = re.compile(r"\s*(```|~~~)")
_ITEM = re.compile(r"\s*(?:[-*+•]|\d{1,3}[.)])\s+(?=\S)")
_TABLE_RULE = re.compile(r"[\s:|+-]+")  # and a hyphen among them, see `_is_table_rule`
_UNDERLINE = re.compile(r"\s*(?:={3,}|-{3,})\s*")
_COLUMNS = re.compile(r"\S {3,}\S")
_HEADING = re.compile(r"\s{0,3}#{1,6}\s")


def units(text: str) -> tuple[Unit, ...]:
    """The text's units in order, without overlap; blank lines, fences and table rules belong to none."""
    language = language_of(text)
    found: list[Unit] = []
    for block in _blocks(text):
        found.extend(_split(text, block, language) if block.kind == "sentence" else (block,))
    return tuple(trimmed for unit in found if (trimmed := _trim(text, unit)).start < trimmed.end)


def _blocks(text: str) -> Iterator[Unit]:
    """Units line by line, where a `sentence` is still a whole paragraph."""
    lines = [(match.start(), match.end()) for match in _LINE.finditer(text)]
    open_block: Unit | None = None
    in_code = False
    for index, (start, end) in enumerate(lines):
        following = text[slice(*lines[index + 1])] if index + 1 < len(lines) else ""
        fence = _FENCE.match(text[start:end]) is not None
        kind = None if fence else "code" if in_code else _kind(text[start:end], following)
        in_code ^= fence
        if open_block and kind == "sentence":
            open_block = Unit(start=open_block.start, end=end, kind=open_block.kind)
            continue
        if open_block:
            yield open_block
        open_block = None
        if kind in ("sentence", "item"):
            marker = _ITEM.match(text[start:end])
            open_block = Unit(start=start + (marker.end() if marker else 0), end=end, kind=kind)
        elif kind:
            yield Unit(start=start, end=end, kind=kind)
    if open_block:
        yield open_block


def _kind(line: str, following: str) -> UnitKind | None:
    if not line.strip() or _UNDERLINE.fullmatch(line):
        return None
    if line.lstrip().startswith("|"):
        return _table_kind(line, following)
    if _HEADING.match(line) or _UNDERLINE.fullmatch(following) or _shouts(line):
        return "heading"
    if _ITEM.match(line):
        return "item"
    return "row" if _COLUMNS.search(line.strip()) else "sentence"


def _table_kind(line: str, following: str) -> UnitKind | None:
    if _is_table_rule(line):
        return None
    return "heading" if following.lstrip().startswith("|") and _is_table_rule(following) else "row"


def _is_table_rule(line: str) -> bool:
    return "-" in line and _TABLE_RULE.fullmatch(line) is not None


def _shouts(line: str) -> bool:
    """A line in capitals is how plain text writes a heading; a code such as `WMS-309` is not one."""
    return line.isupper() and sum(map(str.isalpha, line)) >= 5 and line.strip()[-1] not in ".!?"


def _split(text: str, block: Unit, language: str) -> Iterator[Unit]:
    for start, end in _sentences(text, block.start, block.end, language):
        if end - start <= _LONGEST_SENTENCE:
            yield Unit(start=start, end=end, kind="sentence")
            continue
        # No sentence is that long: these are lines without full stops, such as an address or a log.
        for line in _LINE.finditer(text, start, end):
            yield Unit(start=line.start(), end=line.end(), kind="sentence")


def _sentences(text: str, start: int, end: int, language: str) -> Iterator[tuple[int, int]]:
    """Where the sentences of a paragraph stand. It is read in windows: sentencex takes quadratic time."""
    while start < end:
        window = min(end, start + _WINDOW)
        if window < end:
            window = text.rfind(" ", start, window) + 1 or window
        for found in sentencex.get_sentence_boundaries(language, text[start:window]):
            yield start + found["start_index"], start + found["end_index"]
        start = window


def _trim(text: str, unit: Unit) -> Unit:
    piece = text[unit.start : unit.end]
    start = unit.start + len(piece) - len(piece.lstrip())
    return Unit(start=start, end=max(start, unit.start + len(piece.rstrip())), kind=unit.kind)


def language_of(text: str) -> str:
    """`de` or `en`, by stop words: full stops after German ordinals and abbreviations end no sentence."""
    words = _WORD.findall(text.casefold())
    return "de" if sum(word in _STOP_DE for word in words) > sum(word in _STOP_EN for word in words) else "en"


def _listed(words: str) -> frozenset[str]:
    return frozenset(words.split())


_STOP_EN = _listed(
    "a about after all also am an and any are as at be been before being but by can could did do does for from had "
    "has have he her his how i if in into is it its may me more most much many must my no not of on one only or our "
    "out over please should so some such than that the their them then there these they this those to under until up "
    "us was we were what when where which while who whom whose why will with would you your"
)
_STOP_DE = _listed(
    "ab aber alle als also am an auch auf aus bei beim bis bitte da damit dann das dass dem den denn der des die dies "
    "diese dieser dieses doch durch ein eine einem einen einer eines er es für gegen hat haben hatte ich ihr ihre im "
    "in ist ja jede jeder jedes kann können man mein mit muss müssen nach nicht noch nur ob oder ohne sein seine sich "
    "sie sind so soll über um und uns unser unter vom von vor war warum was wann welche welcher welches wenn wer "
    "werden wie wieviel wird wir wo zu zum zur"
)
_STOP = _STOP_EN | _STOP_DE

_WORD = re.compile(r"[^\W\d_]{1,5}-\d[\w-]*|\d+(?:[.,:]\d+)+|[^\W_]+")
_THOUSANDS = re.compile(r"\d{1,3}(?:[.,]\d{3})+")
_SUFFIX = re.compile(r"(?<=\w{3})(?:ungen|ung|ings?|ed|ers|es|s|en|er|em|e|n|y|ies)$")


def terms(text: str) -> tuple[str, ...]:
    """Content words, stemmed, each once in order of appearance; stop words of English and German left out.

    Numbers are made comparable (`2,000` and `2.000` are `2000`; `97,5` is `97.5`), codes stay whole (`qh-7`).
    """
    words = (word for word in _WORD.findall(text.casefold()) if word not in _STOP)
    return tuple(dict.fromkeys(_stem(word) for word in words if len(word) > 1 or word.isdigit()))


def _stem(word: str) -> str:
    if word[0].isdigit():
        return re.sub(r"[.,]", "", word) if _THOUSANDS.fullmatch(word) else word.replace(",", ".")
    if any(map(str.isdigit, word)):
        return word
    return _SUFFIX.sub("", word)


def weight(term: str) -> float:
    """What a claim's term weighs in its support."""
    return CODE_WEIGHT if any(map(str.isdigit, term)) else 1.0


def credit(term: str, among: frozenset[str]) -> float:
    """1 when the term is among the others, `PARTIAL_CREDIT` when one of at least five letters holds the other."""
    if term in among:
        return 1.0
    if len(term) < 3 or not term.isalpha():
        return 0.0
    partial = any(min(len(term), len(other)) >= 5 and (term in other or other in term) for other in among)
    return PARTIAL_CREDIT if partial else 0.0


def support(claim: Sequence[str], source: frozenset[str]) -> float:
    """Share in [0, 1] of the claim's weighted terms that stand in the source: Σ w·credit / Σ w; 0 without terms."""
    total = sum(map(weight, claim))
    return sum(weight(term) * credit(term, source) for term in claim) / total if total else 0.0
