"""Citations that hold: each marker a model writes is checked against the passage it names before anyone sees it.

A marker `[n]` stays in the text only when passage n was shown, the claim before it stands in that passage, and the
caller may still see it; all others are taken out and counted. However the model's text is cut into pieces, what
comes out is the same. Code between backticks is left alone: `x[1]` cites nothing.
"""

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from retrieval.domain import Citation, CitationFound, RankedPassage, TextDelta
from retrieval.generation.code_spans import CodeSplitter
from retrieval.generation.numbers import numbers, states_other_number
from retrieval.generation.sentences import last_sentence, locate, quotations, support, terms, units

Visible = Callable[[Citation], Awaitable[bool]]

SUPPORT_FLOOR = 0.2
"""Least support of a cited claim: one content word in five, or one number among a dozen words.
Low on purpose: a paraphrase or an answer in another language shares little but names and numbers with its source;
an unrelated passage shares, stop words apart, next to nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CitedText:
    """A whole answer: `text` is all deltas together, `events` what was not yet given when it ended."""

    text: str
    citations: tuple[Citation, ...]
    rejected: int
    events: tuple[TextDelta | CitationFound, ...]


def cite(ranked: RankedPassage, start: int, end: int, share: float) -> Citation:
    """The citation of `passage.text[start:end]`, which becomes its quote; offsets are turned into the document's."""
    passage = ranked.passage
    first, last = passage.char_start + start, passage.char_start + end - 1
    return Citation(
        number=ranked.number,
        document_id=passage.key.document_id,
        version=passage.version,
        uri=passage.uri,
        title=passage.title,
        heading_path=passage.headings_at(first),
        first_page=passage.page_at(first),
        last_page=passage.page_at(last),
        char_start=first,
        char_end=last + 1,
        quote=passage.text[start:end],
        support=share,
    )


class CitationStream:
    """Reads a model's text piece by piece and gives it on with its markers verified.

    `visible` is asked for every citation before it is given: False rejects it (deleted or no longer allowed).
    A claim may repeat the numbers of `question`; any other must stand in a passage.
    A possible marker is held back until it is whole, never longer than it could still become one.
    """

    def __init__(self, passages: Sequence[RankedPassage], visible: Visible | None = None, question: str = "") -> None:
        self._verifier = _Verifier(passages, question)
        self._visible = visible
        self._code = CodeSplitter()
        self._pending = ""
        self._gap = ""
        self._text = ""
        self._found: dict[tuple[int, int, int], Citation] = {}
        self._rejected = 0

    async def feed(self, piece: str) -> tuple[TextDelta | CitationFound, ...]:
        """What can be said for certain after this piece, in order."""
        return await self._advance(self._code.feed(piece))

    async def finish(self) -> CitedText:
        """Gives what was held back, and the whole answer."""
        events = await self._advance((*self._code.finish(), ("", True)))  # empty code: nothing more to wait for
        return CitedText(text=self._text, citations=tuple(self._found.values()), rejected=self._rejected, events=events)

    async def _advance(self, segments: Sequence[tuple[str, bool]]) -> tuple[TextDelta | CitationFound, ...]:
        events: list[TextDelta | CitationFound] = []
        for segment, is_code in segments:
            # Character by character where a marker may be: no decision can then depend on how the text was cut.
            for step in (segment,) if is_code else _STEPS.findall(segment):
                await self._step(events, step, is_code=is_code)
            if is_code:
                # No marker spans code, so nothing before it can still become one.
                self._give(events, len(self._pending))
        return tuple(events)

    async def _step(self, events: list[TextDelta | CitationFound], step: str, *, is_code: bool) -> None:
        for piece in (step,) if is_code or not self._pending else step:
            if is_code:
                self._give(events, len(self._pending))
            self._append(piece)
            if not is_code and (match := _MARKER.search(self._pending)):
                await self._resolve(events, match)
            self._give(events, _held_from(self._pending))

    def _append(self, piece: str) -> None:
        """Adds to the pending text; the blank before a marker that was taken out comes back where words would touch."""
        if piece:
            self._pending += piece if piece[0] in _NO_BLANK_BEFORE else self._gap + piece
            self._gap = ""

    async def _resolve(self, events: list[TextDelta | CitationFound], match: re.Match[str]) -> None:
        """Keeps or takes out the marker that the pending text now ends with."""
        before = self._pending[: match.start()]
        citations = await self._verify(_numbers(match[1]), self._text + before)
        if citations:
            self._pending = before + "".join(f"[{number}]" for number in citations)
            self._give(events, len(self._pending))
            events.extend(CitationFound(citation=new) for group in citations.values() for new in group)
        else:
            self._pending = before.rstrip(_BLANKS)
            self._gap = before[len(self._pending) :]

    async def _verify(self, numbers: Sequence[int], before: str) -> dict[int, list[Citation]]:
        """For each number that holds, the citations that are new with it."""
        kept, visible = dict[int, list[Citation]](), self._visible
        for number in dict.fromkeys(numbers):
            citations = [one for one in self._verifier.citations(number, before) if not visible or await visible(one)]
            if not citations:
                self._rejected += 1
                continue
            kept[number] = [one for one in citations if _place(one) not in self._found]
            self._found.update({_place(one): one for one in kept[number]})
        return kept

    def _give(self, events: list[TextDelta | CitationFound], size: int) -> None:
        """Gives on that much of the pending text, joined to a delta just before it."""
        text, self._pending = self._pending[:size], self._pending[size:]
        self._text += text
        if text and events and isinstance(events[-1], TextDelta):
            events[-1] = TextDelta(text=events[-1].text + text)
        elif text:
            events.append(TextDelta(text=text))


def _place(citation: Citation) -> tuple[int, int, int]:
    return citation.number, citation.char_start, citation.char_end


class _Verifier:
    """Holds claims against passages."""

    def __init__(self, passages: Sequence[RankedPassage], question: str) -> None:
        self._question = question
        self._passages = {ranked.number: ranked for ranked in passages}
        self._units: dict[int, list[tuple[int, int, frozenset[str]]]] = {}

    def citations(self, number: int, before: str) -> list[Citation]:
        """What a marker after this text cites: its quotations' true places, else the sentence that supports it best.

        Empty when there is no such passage, when a number or a quotation stands in no passage, or when the support
        is too low.
        """
        if number not in self._passages:
            return []
        claim = _claim(before)
        if states_other_number(claim, self._known_numbers):
            return []
        named = self._passages[number]
        quoted = [quote for quote in quotations(claim) if not self._is_title(quote)]
        if not all(any(locate(quote, one.passage.text) for one in self._passages.values()) for quote in quoted):
            return []
        spans = [span for quote in quoted if (span := locate(quote, named.passage.text))]
        if quoted:
            return [cite(named, start, end, 1.0) for start, end in spans]
        return self._supported(named, terms(claim))

    @cached_property
    def _known_numbers(self) -> frozenset[str]:
        shown = (one.passage for one in self._passages.values())
        texts = (text for one in shown for text in (one.title, *one.heading_path, one.text))
        return numbers(self._question).union(*map(numbers, texts))

    def _is_title(self, quote: str) -> bool:
        names = (name for one in self._passages.values() for name in (one.passage.title, *one.passage.heading_path))
        return any(locate(quote, name) for name in names)

    def _supported(self, ranked: RankedPassage, claim: tuple[str, ...]) -> list[Citation]:
        scored = [(support(claim, among), -start, end) for start, end, among in self._units_of(ranked)]
        share, start, end = max(scored, default=(0.0, 0, 0))
        return [cite(ranked, -start, end, round(share, 4))] if share >= SUPPORT_FLOOR else []

    def _units_of(self, ranked: RankedPassage) -> list[tuple[int, int, frozenset[str]]]:
        if ranked.number not in self._units:
            text = ranked.passage.text
            found = units(text)
            worth = [unit for unit in found if unit.kind != "heading"] or found
            self._units[ranked.number] = [
                (unit.start, unit.end, frozenset(terms(text[unit.start : unit.end]))) for unit in worth
            ]
        return self._units[ranked.number]


_BLANKS = " \t\u00a0\u202f"
_NO_BLANK_BEFORE = frozenset(_BLANKS + "\n\r.,;:!?)]}】］”")
_B = f"[{_BLANKS}]"
_OPEN, _CLOSE = "[\\[【［]", "[\\]】］]"
_NUMBER = r"\d{1,3}"
_SOURCE_NOTE = r"(?:†[^\[\]【】［］\n]{0,40})?"  # 【3†handbook.pdf】, as some hosted models write
_MARKER = re.compile(
    rf"{_OPEN}\^?{_B}{{0,3}}(?:(?:passages?|sources?|docs?|documents?|refs?|quellen?)[.:]?{_B}{{0,3}})?"
    rf"({_NUMBER}(?:{_B}{{0,3}}[,;–-]{_B}{{0,3}}\^?{_NUMBER}){{0,11}}){_B}{{0,3}}{_SOURCE_NOTE}{_CLOSE}\Z",
    re.IGNORECASE,
)
# Every proper beginning of a marker.
_BEGINNING = re.compile(
    rf"{_OPEN}\^?{_B}{{0,3}}(?:[a-z]{{1,9}}[.:]?{_B}{{0,3}})?[\d,;–^{_BLANKS}-]{{0,150}}{_SOURCE_NOTE}", re.IGNORECASE
)
_LONGEST_HELD = 250
_STEPS = re.compile(rf"[^{_BLANKS}\[【［]+|.", re.DOTALL)


def _held_from(text: str) -> int:
    """Where the text begins that may still become a marker, or is the blank before one.

    Beginnings inside one are held together: taking out the inner marker may complete the outer one.
    """
    start = len(text)
    while (opening := max(text.rfind(bracket, 0, start) for bracket in "[【［")) >= 0:
        if not _BEGINNING.fullmatch(text, opening, start):
            break
        start = opening
    return max(len(text[:start].rstrip(_BLANKS)), len(text) - _LONGEST_HELD)


def _numbers(listed: str) -> list[int]:
    """The numbers of a marker's list: `1, 3-5` is 1, 3, 4, 5."""
    numbers: list[int] = []
    for first, last in re.findall(rf"({_NUMBER})(?:\s*[–-]\s*\^?({_NUMBER}))?", listed):
        low, high = int(first), int(last or first)
        numbers.extend(range(low, high + 1) if low <= high < low + 20 else (low, high))
    return numbers


_KEPT_MARKERS = re.compile(rf"(?<!{_B})(?:{_B}*\[{_NUMBER}\])+")
_LONGEST_CLAIM = 1500
_MIN_CLAIM_TERMS = 2


def _claim(before: str) -> str:
    """The words a marker stands for: the last sentence before it, from the last marker in that sentence on.

    Markers side by side, or with too few words between them, stand for the same words.
    """
    line = before[-_LONGEST_CLAIM:].rstrip().rpartition("\n")[2]
    pieces = _KEPT_MARKERS.split(line)
    since = pieces.pop()
    while pieces and len(terms(since)) < _MIN_CLAIM_TERMS:
        since = f"{pieces.pop()} {since}"
    return last_sentence(since)
