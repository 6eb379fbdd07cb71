"""What a marker stands for: the words of its claim, and where their quotations stand in a passage."""

import re
from bisect import bisect_left
from functools import cached_property
from itertools import pairwise

import sentencex

from retrieval.generation.sentences import language_of, terms, units

_QUOTED = re.compile(
    r"„([^„“”\n]+)[“”]|“([^“”\n]+)”|«([^«»\n]+)»|»([^«»\n]+)«|(?<![\w\"])\"(?=\S)([^\"\n]+)(?<=\S)\"(?!\w)"
)


def quotations(text: str) -> list[str]:
    """The verbatim quotations in the text: in quote marks, of at least four words or 20 characters.

    Anything shorter may be a name, a term, or irony.
    """
    found = (next(filter(None, match.groups())).strip() for match in _QUOTED.finditer(text))
    return [quote for quote in found if len(quote.split()) >= 4 or len(quote) >= 20]


_KEPT_MARKERS = re.compile(r"(?<![ \t\u00a0\u202f])(?:[ \t\u00a0\u202f]*\[\d{1,3}\])+")
_LONGEST_CLAIM = 1500
_MIN_CLAIM_TERMS = 2


def claim_before(text: str) -> str:
    """The words a marker after this text stands for: the last sentence, from the last marker in it on.

    Markers side by side, or with too few words between them, stand for the same words.
    """
    line = text[-_LONGEST_CLAIM:].rstrip().rpartition("\n")[2]
    pieces = _KEPT_MARKERS.split(line)
    since = pieces.pop()
    while pieces and len(terms(since)) < _MIN_CLAIM_TERMS:
        since = f"{pieces.pop()} {since}"
    return last_sentence(since)


_ABBREVIATED = re.compile(
    r"\b(?:\w|approx|incl|excl|max|min|est|inkl|exkl|zzgl|bzw|tsd|abs|ggf|mind|resp|yrs?|eur|usd|chf|gbp|mio|mrd|ca|nr"
    r"|nos?|art|vgl|evtl|usw|etc|sog|std|tel|str|allg|einschl|ausschl|gem|lt|inc|ltd|vs|dept|fig|vol|pp)\.\W*\Z",
    re.IGNORECASE,
)


def last_sentence(text: str) -> str:
    """The text from the start of its last sentence with a content word on; it does not begin inside a quotation.

    Nor behind an abbreviation or with a small letter or a figure, whatever the full stop before it looks like: too
    much claim costs a marker, too little lets a false one stand.
    """
    begin = 0
    for found in reversed(sentencex.get_sentence_boundaries(language_of(text), text)):
        begin = found["start_index"]
        if terms(text[begin:]) and not _goes_on(text, begin):
            break
    starts = (match.start() for match in _QUOTED.finditer(text) if match.start() < begin < match.end())
    return text[min(starts, default=begin) :]


def _goes_on(text: str, begin: int) -> bool:
    first = next(filter(str.isalnum, text[begin:]), "")
    return first.islower() or first.isdigit() or _ABBREVIATED.search(text[max(0, begin - 20) : begin]) is not None


_FOLDED = {**dict.fromkeys("“”„‟«»″", '"'), **dict.fromkeys("’‘‚‛′`´", "'"), **dict.fromkeys("‐‑‒–—−", "-"), "…": "..."}
_DROPPED = frozenset("*`\\\u00ad\u200b\u2060\ufeff")
_ELLIPSIS = re.compile(r"\s*(?:\[\.{3}\]|\(\.{3}\)|\.{3})\s*")
_LEAST_FRAGMENT = 3
NEGATION = re.compile(
    r"\b(?:not?|none|never|nor|neither|cannot|\w+n't|without|unless|except"
    r"|nicht|nichts|nie|niemals|kein\w*|weder|ohne|ausser)\b"
)


class Quotable:
    """A text made ready to find quotations in, and what was found in it so far."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._folded, self._origin = _fold(text)
        self._found: dict[str, tuple[int, int] | None] = {}

    def locate(self, quotation: str) -> tuple[int, int] | None:
        """Where the quotation stands in the text, word for word, or None.

        White space, case, and the shapes of quote marks, dashes and Markdown emphasis make no difference; punctuation
        at its ends does not either (English sets the sentence's own inside). `...` may stand for words left out, within
        one sentence, between fragments of three words or more, and not for a `not`: the span is from first to last.
        """
        if quotation not in self._found:
            pieces = (piece.strip(" .,;:!?\"'") for piece in _ELLIPSIS.split(_fold(quotation)[0]))
            self._found[quotation] = self._place([piece for piece in pieces if piece])
        return self._found[quotation]

    def _place(self, fragments: list[str]) -> tuple[int, int] | None:
        if len(fragments) > 1 and any(len(re.findall(r"\w+", one)) < _LEAST_FRAGMENT for one in fragments):
            return None
        for begin, end in self._units if len(fragments) > 1 else [(0, len(self._folded))]:
            spans = self._in_order(fragments, begin, end)
            gaps = (self._folded[left:right] for (_, left), (right, _) in pairwise(spans))
            if spans and not any(map(NEGATION.search, gaps)):
                return self._origin[spans[0][0]], self._origin[spans[-1][1] - 1] + 1
        return None

    @cached_property
    def _units(self) -> list[tuple[int, int]]:
        """Where the text's units stand in its comparable form."""
        origin = self._origin
        return [(bisect_left(origin, unit.start), bisect_left(origin, unit.end)) for unit in units(self._text)]

    def _in_order(self, fragments: list[str], begin: int, end: int) -> list[tuple[int, int]]:
        """The fragments' places one after another, empty unless all are there."""
        spans: list[tuple[int, int]] = []
        for fragment in fragments:
            start = self._find(fragment, spans[-1][1] if spans else begin, end)
            if start < 0:
                return []
            spans.append((start, start + len(fragment)))
        return spans

    def _find(self, fragment: str, begin: int, end: int) -> int:
        """The fragment's first place that does not cut a word, or -1: `30 days` is not in `130 days`."""
        place = self._folded.find(fragment, begin, end)
        while place >= 0 and (self._is_word(place - 1) or self._is_word(place + len(fragment))):
            place = self._folded.find(fragment, place + 1, end)
        return place

    def _is_word(self, place: int) -> bool:
        character = self._folded[place : place + 1] if place >= 0 else ""
        return character.isalnum() or character == "_"


def _fold(text: str) -> tuple[str, list[int]]:
    """The text in its comparable form, and for each of its characters the offset it comes from."""
    folded: list[str] = []
    origin: list[int] = []
    for offset, character in enumerate(text):
        if character in _DROPPED:
            continue
        piece = " " if character.isspace() else _FOLDED.get(character, character).casefold()
        if piece == " " and folded and folded[-1] == " ":
            continue
        folded.extend(piece)
        origin.extend([offset] * len(piece))
    return "".join(folded), origin
