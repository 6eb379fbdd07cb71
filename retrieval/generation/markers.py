"""The shapes in which models write citation markers, read while the text is still coming."""

import re

BLANKS = " \t\u00a0\u202f"
INVISIBLE = frozenset("\u00ad\u200b\u200c\u200d\u2060\ufeff")
"""Inside brackets they could only hide a marker."""

_B = f"[{BLANKS}]"
_OPEN, _CLOSE = "[\\[【［]", "[\\]】］]"
_PAD = f"[{BLANKS}*_]{{0,4}}+"
_NUMBER = r"\d{1,3}"
_SEE = "see|siehe|vgl|cf"
_NAMES = "passages?|passagen|sources?|docs?|documents?|dokumente?|refs?|quellen?|citations?"
_JOINED = "and|und|or|oder"
_UNTIL = "to|bis"
_PLACES = "pp?|pages?|seiten?|s|sections?|sec|abschnitt|abs|chapter|ch|kap|line|zeile|para"
_LABEL = rf"(?:(?:{_SEE})\b\.?{_PAD})?(?:(?:{_NAMES})[.:]?{_PAD}(?:(?:nr|no)\b\.?{_PAD})?)?[#^]?{_PAD}"
_BETWEEN = rf"{_PAD}(?:(?:,{_PAD})?(?:&|\b(?:{_JOINED}|{_UNTIL})\b)|[,;/+–-]){_PAD}"
_LIST = rf"{_NUMBER}(?:{_BETWEEN}{_LABEL}{_NUMBER}){{0,11}}"
_PLACE = rf"(?:{_PAD},?{_PAD}(?:\b(?:{_PLACES})\b\.?|§){_PAD}\d{{1,4}}(?:[–-]\d{{1,4}})?)?"
_SOURCE_NOTE = r"(?:†[^\[\]【】［］\n]{0,40})?"  # 【3†handbook.pdf】, as some hosted models write
# The lookahead spares reading on where another bracket opens first.
_HEAD = rf"{_OPEN}(?=[^\[\]【】［］]*+{_CLOSE})\^?{_PAD}{_LABEL}"
_TAIL = rf"{_PLACE}{_PAD}{_SOURCE_NOTE}{_CLOSE}"
_MARKER = f"{_HEAD}{_LIST}{_TAIL}"
_WORDS = f"{_SEE}|{_NAMES}|nr|no|{_JOINED}|{_UNTIL}|{_PLACES}"
# Every proper beginning of a marker: the last word in it may be unfinished.
_BEGUN = rf"(?:[\d,;/&+–^#*_.:§{BLANKS}-]|(?:{_WORDS})(?![^\W\d_])){{0,150}}"
# A lookahead and what it found, where a group should be possessive: Python before 3.11.5 gets those wrong.
_BEGINNING = rf"{_OPEN}(?=(?P<begun>{_BEGUN}))(?P=begun)[a-z]{{0,9}}+{_SOURCE_NOTE}"
_ONE = re.compile(f"{_HEAD}({_LIST}){_TAIL}", re.IGNORECASE)
_RUN = rf"{_MARKER}(?=(?P<more>(?:{_B}{{0,3}}{_MARKER})*))(?P=more)"
_SETTLED = re.compile(rf"(?P<run>{_RUN})(?P<tail>.*)\Z", re.IGNORECASE | re.DOTALL)
_MAY_GO_ON = re.compile(rf"{_B}{{0,3}}(?:{_BEGINNING})*", re.IGNORECASE)
_HELD = re.compile(rf"{_MARKER}{_B}{{0,3}}|{_BEGINNING}", re.IGNORECASE)
_LONGEST_HELD = 250
_LONGEST_RUN = 100


def find_run(text: str, *, final: bool) -> tuple[int, int] | None:
    """Where markers stand side by side with nothing more to come; `final` when no text follows them."""
    match = _SETTLED.search(text)
    if match is None:
        return None
    run, tail = match["run"], match["tail"]
    waiting = len(run) <= _LONGEST_RUN and len(tail) <= _LONGEST_HELD and _MAY_GO_ON.fullmatch(tail)
    return None if waiting and not final else match.span("run")


def held_from(text: str) -> int:
    """Where the text begins that is a marker or may still become one, or is the blank before it.

    The text is what was held before and what came since, up to its next bracket: what is held stays so with its last
    bracket. Taking out an inner marker may complete an outer one, so beginnings around one are held with it.
    """
    opening = max(map(text.rfind, "[【［"))
    if opening < 0 or not _HELD.fullmatch(text, opening):
        return max(len(text.rstrip(BLANKS)), len(text) - _LONGEST_HELD)
    return 0 if _SETTLED.search(text) else max(0, len(text) - _LONGEST_HELD)


def numbers_in(run: str) -> list[int]:
    """The numbers of the markers, each once for each marker: `[1, 3-5][1]` is 1, 3, 4, 5, 1."""
    return [number for listed in _ONE.findall(run) for number in dict.fromkeys(_expanded(listed))]


def _expanded(listed: str) -> list[int]:
    found: list[int] = []
    for first, last in re.findall(rf"({_NUMBER})(?:\s*(?:[–-]|{_UNTIL})\s*\^?({_NUMBER}))?", listed, re.IGNORECASE):
        low, high = int(first), int(last or first)
        found.extend(range(low, high + 1) if low <= high < low + 20 else (low, high))
    return found


def without_markers(text: str) -> str:
    """The text with everything that reads like a marker in round brackets: quoted words cite nothing."""
    visible = "".join(character for character in text if character not in INVISIBLE)
    return _ONE.sub(lambda match: f"({match[0][1:-1]})", visible)
