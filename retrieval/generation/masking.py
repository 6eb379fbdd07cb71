"""Personal data stays here: the provider sees placeholders, and whoever asked sees the answer with its words again."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from functools import cache

import regex

from retrieval.domain import Passage, RankedPassage, Usage
from retrieval.generation.llm import Begun, Draft, Turn
from retrieval.guarding.patterns import PII
from retrieval.guarding.redacting import find

_KINDS = "|".join(pattern.name for pattern in PII)
# As models write them back: in other brackets, in capitals, with another sign or a blank between.
_BRACKETS = (("⟦", "⟧"), (r"\[\[?", r"\]\]?"), (r"\{\{?", r"\}\}?"), (r"\(\(?", r"\)\)?"), ("<<?", ">>?"), ("【", "】"))
_INSIDE = rf"[ ]{{0,2}}(?P<kind>{_KINDS})[ _.:#–‑-]{{0,3}}(?P<number>[0-9]{{1,4}})[ ]{{0,2}}"
_SHAPE = rf"(?i:{'|'.join(f'(?:{opening}{_INSIDE}{closing})' for opening, closing in _BRACKETS)})"


@cache
def _placeholder() -> "regex.Pattern[str]":
    return regex.compile(_SHAPE)


@cache
def _beginning() -> "regex.Pattern[str]":
    """Matches nothing as a whole: a partial match is where a placeholder may still come."""
    return regex.compile(rf"(?:{_SHAPE})(?!)")


@dataclass(slots=True)
class Masking:
    """One request's placeholders: the same words have the same one. None is like anything in `texts`."""

    texts: Sequence[str]
    _taken: set[tuple[str, int]] = field(init=False)
    _placeholders: dict[str, str] = field(default_factory=dict)
    _values: dict[tuple[str, int], str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._taken = {_key(match) for text in self.texts for match in _placeholder().finditer(text)}

    def mask(self, text: str) -> str:
        """The text with placeholders for personal data."""
        masked, at = "", 0
        while found := find(text, PII, at):
            value = text[found.start : found.end]
            if value not in self._placeholders:
                self._placeholders[value] = self._new(found.pattern.name, value)
            masked += text[at : found.start] + self._placeholders[value]
            at = found.end
        return masked + text[at:]

    def value(self, match: "regex.Match[str]") -> str:
        """What the placeholder stands for; itself where it is none of ours."""
        return self._values.get(_key(match), match[0])

    def _new(self, kind: str, value: str) -> str:
        number = next(number for number in range(1, 10_000) if (kind, number) not in self._taken)
        self._taken.add((kind, number))
        self._values[kind, number] = value
        return f"⟦{kind}-{number}⟧"


def _key(match: "regex.Match[str]") -> tuple[str, int]:
    return match["kind"].lower(), int(match["number"])


@dataclass(slots=True)
class Restoring:
    """Puts the words back, however the text is cut. Only what may still become a placeholder waits."""

    masking: Masking
    _pending: str = ""

    def feed(self, piece: str) -> str:
        """What is certain after this piece."""
        text = self._pending + piece
        partial = _beginning().search(text, partial=True)
        certain = partial.start() if partial else len(text)
        self._pending = text[certain:]
        return self._restored(text[:certain])

    def finish(self) -> str:
        """What was held back."""
        text, self._pending = self._pending, ""
        return self._restored(text)

    def _restored(self, text: str) -> str:
        return str(_placeholder().sub(self.masking.value, text))


@dataclass(frozen=True, slots=True)
class MaskingTurn:
    """A `Turn` whose provider sees no personal data. What comes from it reads as if it had."""

    turn: Turn

    async def stream(self, draft: Draft) -> AsyncGenerator[Begun | str | Usage, None]:
        """As `retrieval.generation.llm.Turn` promises."""
        masking = Masking([draft.question, *(text for ranked in draft.passages for text in _shown(ranked.passage))])
        restoring = Restoring(masking)
        originals = {ranked.number: ranked for ranked in draft.passages}
        async with aclosing(self.turn.stream(_masked(draft, masking))) as pieces:
            async for piece in pieces:
                if isinstance(piece, Begun):
                    yield replace(piece, passages=tuple(originals[ranked.number] for ranked in piece.passages))
                    continue
                if text := restoring.feed(piece) if isinstance(piece, str) else restoring.finish():
                    yield text
                if isinstance(piece, Usage):
                    yield piece


def _shown(passage: Passage) -> tuple[str, ...]:
    return passage.text, passage.title, *passage.heading_path


def _masked(draft: Draft, masking: Masking) -> Draft:
    passages = tuple(_masked_passage(ranked, masking) for ranked in draft.passages)
    return replace(draft, question=masking.mask(draft.question), passages=passages)


def _masked_passage(ranked: RankedPassage, masking: Masking) -> RankedPassage:
    passage = ranked.passage
    masked = replace(
        passage,
        text=masking.mask(passage.text),
        title=masking.mask(passage.title),
        heading_path=tuple(map(masking.mask, passage.heading_path)),
    )
    return replace(ranked, passage=masked)
