"""How a language model's text becomes an answer: its citations verified, and by the large tier where a check fails.

A small model's words are held back until one of its citations convinces; what was let out is never begun again.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any

from retrieval.domain import Citation, CitationFound, Outcome, Served, StepTaken, TextDelta, TierReason, Usage
from retrieval.errors import LlmInterrupted
from retrieval.generation.cascade import Route, convinces, declines, doubt
from retrieval.generation.citations import CitationStream, CitedText
from retrieval.generation.drafts import Draft
from retrieval.generation.llm import Begun, Turn

Stream = Callable[[Draft], AsyncGenerator[StepTaken | Begun | str | Usage, None]]
"""What a turn's model writes, in steps where it may take any."""

Holding = Callable[[Sequence[Citation]], Awaitable[list[bool]]]
"""For each citation, whether the caller may see it and its words are still there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """The end of what a model wrote."""

    outcome: Outcome
    text: str
    citations: tuple[Citation, ...]
    rejected: int
    served: Served
    structured: Any = None


async def write(
    stream: Stream, turn: Turn, route: Route, draft: Draft, holding: Holding
) -> AsyncGenerator[StepTaken | TextDelta | CitationFound | Written, None]:
    """The answer as it comes, then `Written`. Who may take steps is not doubted afterwards: they were told already.

    Raises `LlmUnavailable` while nothing was let out, `LlmInterrupted` afterwards.
    """
    escalation: TierReason | None = None
    again = True
    while again:
        again = False
        async with aclosing(_attempt(stream, turn, route, escalation, draft, holding)) as pieces:
            async for piece in pieces:
                if isinstance(piece, TierReason):
                    again, escalation = True, escalated(turn, piece, escalation)
                else:
                    yield piece


def escalated(turn: Turn, why: TierReason, before: TierReason | None) -> TierReason | None:
    """Sends the turn to the large tier; one that only broke off goes on to whoever is next."""
    if why is TierReason.ESCALATED_UNAVAILABLE:
        return before
    turn.escalate()
    return why


def may_escalate(turn: Turn, route: Route, begun: Begun) -> bool:
    """Whether this is a small model's answer to a question that began there."""
    return turn.cascades and route.tier == "small" and begun.served.tier == "small"


def served_by(turn: Turn, begun: Begun, route: Route, escalation: TierReason | None) -> Served:
    """Who answered, and why that tier."""
    if not turn.cascades:
        return begun.served
    gave_way = TierReason.ESCALATED_UNAVAILABLE if route.tier == "small" else TierReason.LARGE_UNAVAILABLE
    reason = escalation or (route.reason if begun.served.tier == route.tier else gave_way)
    return replace(begun.served, reason=reason)


class _Gate:
    """Holds events back until it is open. A citation that convinces opens it."""

    def __init__(self, *, is_open: bool) -> None:
        self.is_open = is_open
        self._held: list[TextDelta | CitationFound] = []

    def let(self, events: Sequence[TextDelta | CitationFound]) -> list[TextDelta | CitationFound]:
        """What may go out now."""
        for event in events:
            self._hold(event)
        self.is_open |= any(isinstance(event, CitationFound) and convinces(event.citation) for event in events)
        return self.release() if self.is_open else []

    def release(self) -> list[TextDelta | CitationFound]:
        """What was held back, words side by side as one piece."""
        held, self._held = self._held, []
        return held

    def _hold(self, event: TextDelta | CitationFound) -> None:
        last = self._held[-1] if self._held else None
        if isinstance(event, TextDelta) and isinstance(last, TextDelta):
            self._held[-1] = TextDelta(text=last.text + event.text)
        else:
            self._held.append(event)


class _Reading:
    """One model's answer as it comes: its citations verified, held back where another model may be asked instead."""

    def __init__(self, turn: Turn, route: Route, draft: Draft, holding: Holding) -> None:
        self._turn, self._route, self._draft, self._holding = turn, route, draft, holding
        self.gate = _Gate(is_open=True)
        self.begun: Begun
        self.cited: CitationStream

    async def take(self, piece: StepTaken | Begun | str | Usage) -> Sequence[StepTaken | TextDelta | CitationFound]:
        """What may go out now."""
        match piece:
            case StepTaken():
                return [piece]
            case Begun():
                self.begun = piece
                self.gate = _Gate(is_open=not may_escalate(self._turn, self._route, piece))
                self.cited = CitationStream(piece.passages, self._holds, self._draft.question)
            case str():
                return self.gate.let(await self.cited.feed(piece))
        return []

    async def _holds(self, citation: Citation) -> bool:
        return all(await self._holding([citation]))


async def _attempt(
    stream: Stream, turn: Turn, route: Route, escalation: TierReason | None, draft: Draft, holding: Holding
) -> AsyncGenerator[StepTaken | TextDelta | CitationFound | Written | TierReason, None]:
    """One model's answer; or, where nothing of it was let out, why another one is to be asked."""
    reading = _Reading(turn, route, draft, holding)
    try:
        async with aclosing(stream(draft)) as pieces:
            async for piece in pieces:
                for event in await reading.take(piece):
                    yield event
    except LlmInterrupted:
        if reading.gate.is_open:
            raise
        yield TierReason.ESCALATED_UNAVAILABLE
        return
    gate, whole = reading.gate, await reading.cited.finish()
    events = gate.let(whole.events)
    why = None if gate.is_open else doubt(whole.citations, route.confidence, declined=declines(whole.text))
    if why is not None:
        yield why
        return
    await turn.leave()
    for event in (*events, *gate.release()):
        yield event
    yield _written(whole, served_by(turn, reading.begun, route, escalation))


def _written(whole: CitedText, served: Served) -> Written:
    return Written(
        outcome="answered" if whole.citations else "unsupported",
        text=whole.text,
        citations=whole.citations,
        rejected=whole.rejected,
        served=served,
    )
