"""Citations that hold: each marker a model writes is checked against the passage it names before anyone sees it.

A marker `[n]` stays in the text only when passage n was shown, the claim before it stands in that passage, and the
caller may still see it; all others are taken out and counted. Markers side by side (`[1][2]`) share their claim: its
numbers must stand in the passages they name, taken together. However the model's text is cut into pieces, what comes
out is the same. Code between backticks is left alone: `x[1]` cites nothing.
"""

import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache

from retrieval.domain import Citation, CitationFound, RankedPassage, TextDelta
from retrieval.generation.claims import Quotable, claim_before, quotations
from retrieval.generation.code_spans import CodeSplitter
from retrieval.generation.markers import BLANKS, INVISIBLE, find_run, held_from, numbers_in
from retrieval.generation.numbers import numbers, states_other_number
from retrieval.generation.sentences import support, terms, units

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
    A claim may repeat the numbers of `question` where the passages it cites state none of their own.
    A possible marker is held back until it is whole and no other follows, never longer than that can still happen.
    """

    def __init__(self, passages: Sequence[RankedPassage], visible: Visible | None = None, question: str = "") -> None:
        self._verifier = Verifier(passages, question)
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
                await self._settle(events, final=True)
                self._give(events, len(self._pending))
            elif piece in INVISIBLE and self._pending.strip(BLANKS):
                continue
            self._append(piece)
            if not is_code:
                await self._settle(events, final=False)
                self._give(events, held_from(self._pending))

    def _append(self, piece: str) -> None:
        """Adds to the pending text; the blank before a marker that was taken out comes back where words would touch."""
        if piece:
            self._pending += piece if piece[0] in _NO_BLANK_BEFORE else self._gap + piece
            self._gap = ""

    async def _settle(self, events: list[TextDelta | CitationFound], *, final: bool) -> None:
        """Keeps or takes out the markers that nothing more can change."""
        while run := find_run(self._pending, final=final):
            before, after = self._pending[: run[0]], self._pending[run[1] :]
            citations = await self._verify(numbers_in(self._pending[slice(*run)]), self._text + before)
            if citations:
                self._pending = before + "".join(f"[{number}]" for number in citations)
                self._give(events, len(self._pending))
                events.extend(CitationFound(citation=new) for group in citations.values() for new in group)
            else:
                self._pending = before.rstrip(BLANKS)
                self._gap = before[len(self._pending) :]
            self._append(after)

    async def _verify(self, numbers: Sequence[int], before: str) -> dict[int, list[Citation]]:
        """For each number that holds, the citations that are new with it."""
        claim = claim_before(before)
        found = {number: await self._visible_ones(self._verifier.citations(number, claim)) for number in set(numbers)}
        holding = [number for number in dict.fromkeys(numbers) if found[number]]
        if holding and not self._verifier.numbers_stand(claim, holding):
            holding = []
        self._rejected += sum(number not in holding for number in numbers)
        kept = {number: [one for one in found[number] if _place(one) not in self._found] for number in holding}
        self._found.update({_place(one): one for new in kept.values() for one in new})
        return kept

    async def _visible_ones(self, citations: Iterable[Citation]) -> list[Citation]:
        return [one for one in citations if not self._visible or await self._visible(one)]

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


class Verifier:
    """Holds claims against passages."""

    def __init__(self, passages: Sequence[RankedPassage], question: str = "") -> None:
        self._passages = {ranked.number: ranked for ranked in passages}
        self._names = {name for one in passages for name in one.passage.said_over_it}
        self._asked = numbers(question)
        self._units: dict[int, list[tuple[int, int, frozenset[str]]]] = {}
        # A text is read once however many claims are held against it; read for the first when it is needed.
        self._quotable, self._numbers = cache(Quotable), cache(numbers)

    def citations(self, number: int, claim: str) -> list[Citation]:
        """What a marker after this claim cites: its quotations' true places, else the sentence that supports it best.

        Empty when there is no such passage, when a quotation stands in no passage, or when the support is too low.
        """
        if number not in self._passages:
            return []
        named, texts = self._passages[number], [one.passage.text for one in self._passages.values()]
        quoted = [quote for quote in quotations(claim) if not self._stands(quote, self._names)]
        if not all(self._stands(quote, texts) for quote in quoted):
            return []
        if not quoted:
            return self._supported(named, terms(claim))
        spans = map(self._quotable(named.passage.text).locate, quoted)
        return [cite(named, *span, 1.0) for span in spans if span]

    def quoted(self, number: int, quote: str, claim: Sequence[str]) -> Citation | None:
        """The citation of this quote, if it stands in that passage word for word and says anything.

        Its support is that of the claim's terms; 1 where there are none, as for a yes or no.
        """
        span = self._quotable(self._passages[number].passage.text).locate(quote) if number in self._passages else None
        if not span or not (said := terms(quote)):
            return None
        return cite(self._passages[number], *span, round(support(claim, frozenset(said)), 4) if claim else 1.0)

    def numbers_stand(self, claim: str, cited: Sequence[int]) -> bool:
        """Whether the claim's numbers stand in the cited passages, or in what stands over these.

        The question's count as well where those passages' texts state no number that they could contradict.
        """
        passages = [self._passages[number].passage for number in cited]
        own = frozenset[str]().union(*(self._numbers(one.text) for one in passages))
        named = (self._numbers(name) for one in passages for name in one.said_over_it)
        return not states_other_number(claim, (own or self._asked).union(*named))

    def _stands(self, quote: str, texts: Iterable[str]) -> bool:
        return any(self._quotable(text).locate(quote) for text in texts)

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


_NO_BLANK_BEFORE = frozenset(BLANKS + "\n\r.,;:!?)]}】］”")
_STEPS = re.compile(rf"[^{BLANKS}\[【［]+|.", re.DOTALL)
