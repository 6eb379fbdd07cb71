"""The last room an answer passes: what leaves it may be shown to anybody who may see the cited documents."""

import json
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Protocol

from retrieval.domain import (
    AnswerEvent,
    AnswerFinished,
    Citation,
    CitationFound,
    Guarded,
    RankedPassage,
    StepTaken,
    TextDelta,
)
from retrieval.guarding.destinations import Destinations
from retrieval.guarding.instructions import InstructionFilter
from retrieval.guarding.links import LinkFilter
from retrieval.guarding.redacting import Redaction, patterns_of, redact
from retrieval.settings import GuardSettings


class Stage(Protocol):
    """Takes a text piece by piece. What it holds back is the end of what it was fed."""

    @property
    def pending(self) -> str: ...

    def feed(self, piece: str) -> str: ...

    def finish(self) -> str: ...


@dataclass(slots=True)
class _Waiting:
    """A citation, whose text is to leave this stage before it does, once the stage has done so many characters."""

    citation: Citation
    stage: int
    until: int


class AnswerGuard:
    """Guards one answer. Citations keep their place behind the text they were found for.

    `own`: words of the asker's schema, which pass as they are where an answer's string consists of them.
    """

    def __init__(
        self,
        settings: GuardSettings,
        passages: Sequence[RankedPassage],
        instructions: str,
        own: frozenset[str] = frozenset(),
    ) -> None:
        self._patterns = patterns_of(secrets=settings.secrets == "redact", pii=settings.pii == "redact")
        self._redaction = Redaction(self._patterns)
        self._instructions = InstructionFilter(instructions)
        self._destinations = Destinations(passages)
        self._links = LinkFilter(self._destinations)
        self._stages: tuple[Stage, ...] = (self._redaction, self._instructions, self._links)
        self._fed = [0] * len(self._stages)
        self._waiting: list[_Waiting] = []
        self._own = own
        self._links_in_json = 0
        self._text = ""
        self._citations: list[Citation] = []

    async def watch(self, events: AsyncGenerator[AnswerEvent, None]) -> AsyncGenerator[AnswerEvent, None]:
        """The same events, guarded. Closing it closes them."""
        async with aclosing(events):
            async for event in events:
                for guarded in self._guarded(event):
                    yield guarded

    def _guarded(self, event: AnswerEvent) -> Iterator[AnswerEvent]:
        match event:
            case TextDelta(text=text):
                yield from self._give(self._through(text))
            case CitationFound(citation=citation):
                yield from self._cite(citation)
            case StepTaken(passages=passages):
                self._destinations.add(passages)
                arguments = {name: self._guarded_json(each) for name, each in event.arguments.items()}
                yield replace(event, arguments=arguments)
            case AnswerFinished(structured=None) as finished:
                yield from self._give(self._ended())
                yield self._sealed(replace(finished, text=self._text))
            case AnswerFinished() as finished:
                yield from self._give(self._ended())
                structured = self._guarded_json(finished.structured)
                text = json.dumps(structured, ensure_ascii=False)
                yield self._sealed(replace(finished, structured=structured, text=text))
            case _:
                yield event

    def _cite(self, citation: Citation) -> Iterator[AnswerEvent]:
        self._destinations.cite(citation.number)
        self._waiting.append(_Waiting(self._clean(citation), 0, self._fed[0]))
        yield from self._give(self._links.feed(""))

    def _clean(self, citation: Citation) -> Citation:
        quote = redact(citation.quote, self._patterns)
        return replace(citation, quote=quote.text, redacted=True) if quote.counts else citation

    def _through(self, text: str, start: int = 0) -> str:
        for at, stage in enumerate(self._stages[start:], start):
            self._fed[at] += len(text)
            text = stage.feed(text)
        return text

    def _ended(self) -> str:
        return "".join(self._through(stage.finish(), at + 1) for at, stage in enumerate(self._stages))

    def _give(self, text: str) -> Iterator[AnswerEvent]:
        self._text += text
        if text:
            yield TextDelta(text=text)
        while self._waiting and self._has_left(self._waiting[0]):
            citation = self._waiting.pop(0).citation
            self._citations.append(citation)
            yield CitationFound(citation=citation)

    def _has_left(self, waiting: _Waiting) -> bool:
        while self._fed[waiting.stage] - len(self._stages[waiting.stage].pending) >= waiting.until:
            waiting.stage += 1
            if waiting.stage == len(self._stages):
                return True
            waiting.until = self._fed[waiting.stage]
        return False

    def _guarded_json(self, value: object, name: str = "") -> object:
        """The same with every string in it guarded, names of fields too, but for those that are the asker's own."""
        if isinstance(value, dict):
            return {self._guarded_string(key): self._guarded_json(each, key) for key, each in value.items()}
        if isinstance(value, list):
            return [self._guarded_json(each, name) for each in value]
        return self._guarded_string(value, name) if isinstance(value, str) else value

    def _guarded_string(self, text: str, name: str = "") -> str:
        """Read by itself: what stands before it in the JSON, but for its field's name, is no part of its words."""
        if text in self._own:
            return text
        links, label = LinkFilter(self._destinations), f"{name}: "
        redacted = redact(label + text, self._patterns)
        if not redacted.text.startswith(label):
            redacted, label = redact(text, self._patterns), ""
        self._redaction.counts.update(redacted.counts)
        recited = self._instructions.feed(redacted.text[len(label) :]) + self._instructions.finish()
        linked = links.feed(recited) + links.finish()
        self._links_in_json += links.removed
        return linked

    def _sealed(self, finished: AnswerFinished) -> AnswerFinished:
        counts = self._redaction.counts
        guarded = Guarded(
            links=self._links.removed + self._links_in_json,
            secrets=counts["secrets"],
            pii=counts["pii"],
            instructions=self._instructions.removed,
        )
        return replace(finished, citations=tuple(self._citations), guarded=guarded)
