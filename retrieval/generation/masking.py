"""Personal data stays here: the provider sees placeholders, and whoever asked sees the answer with its words again."""

import json
from collections import Counter
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cache
from itertools import count
from typing import Any

import regex

from retrieval.domain import RankedPassage, Usage
from retrieval.generation.drafts import Drafted
from retrieval.generation.llm import Begun, ToolsAsked, Turn
from retrieval.generation.prompting import Message, Prompt
from retrieval.generation.tool_calls import ToolCall
from retrieval.guarding.patterns import PII
from retrieval.guarding.redacting import every
from retrieval.settings import GuardSettings

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


class Masking:
    """One request's placeholders: the same words have the same one. None is like anything in `texts`."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._taken: set[tuple[str, int]] = set()
        self._last = Counter[str]()
        self._placeholders: dict[str, str] = {}
        self._values: dict[tuple[str, int], str] = {}
        self.avoid(texts)

    def avoid(self, texts: Iterable[str]) -> None:
        """What reads like a placeholder in these is not used for a new one."""
        self._taken.update(_key(match) for text in texts for match in _placeholder().finditer(text))

    def restore(self, text: str) -> str:
        """A whole text with the words that its placeholders stand for."""
        return str(_placeholder().sub(self.value, text))

    def mask(self, text: str) -> str:
        """The text with placeholders for personal data."""
        parts, at = list[str](), 0
        for found in every(text, PII):
            value = text[found.start : found.end]
            if value not in self._placeholders:
                self._placeholders[value] = self._new(found.pattern.name, value)
            parts += text[at : found.start], self._placeholders[value]
            at = found.end
        return "".join((*parts, text[at:]))

    def value(self, match: "regex.Match[str]") -> str:
        """What the placeholder stands for; itself where it is none of ours."""
        return self._values.get(_key(match), match[0])

    def _new(self, kind: str, value: str) -> str:
        number = next(number for number in count(self._last[kind] + 1) if (kind, number) not in self._taken)
        self._last[kind] = number
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
        return self.masking.restore(text)


@dataclass(frozen=True, slots=True)
class MaskedDraft:
    """A draft whose prompt holds no personal data."""

    draft: Drafted
    masking: Masking

    @property
    def passages(self) -> tuple[RankedPassage, ...]:
        return self.draft.passages

    @property
    def brought(self) -> tuple[RankedPassage, ...]:
        return self.draft.brought

    @property
    def sends_schema(self) -> bool:
        return self.draft.sends_schema

    def plain(self) -> "MaskedDraft | None":
        """As the draft's own."""
        plain = self.draft.plain()
        return None if plain is None else replace(self, draft=plain)

    def prompt(self, shown: Sequence[RankedPassage]) -> Prompt:
        """As the draft's own, but for our instructions masked throughout."""
        prompt = self.draft.prompt(shown)
        self.masking.avoid(prompt.texts)
        mask, shape = self.masking.mask, prompt.response_format
        return replace(
            prompt,
            user=mask(prompt.user),
            later=tuple(self._masked(message) for message in prompt.later),
            response_format=None if shape is None else self._masked_json(shape),
        )

    def _masked(self, message: Message) -> Message:
        calls = tuple(self._masked_call(call) for call in message.calls)
        return replace(message, text=self.masking.mask(message.text), calls=calls)

    def _masked_call(self, call: Mapping[str, Any]) -> Mapping[str, Any]:
        function = call["function"]
        arguments = self._masked_json(json.loads(function["arguments"]))
        return {**call, "function": {**function, "arguments": json.dumps(arguments, ensure_ascii=False)}}

    def _masked_json(self, value: Any) -> Any:  # noqa: ANN401 - any JSON
        """String by string: as text, a number would be masked too, and an escaped character taken for a part of one."""
        if isinstance(value, Mapping):
            return {self.masking.mask(name): self._masked_json(each) for name, each in value.items()}
        if isinstance(value, list | tuple):
            return [self._masked_json(each) for each in value]
        return self.masking.mask(value) if isinstance(value, str) else value


class MaskingTurn:
    """A `Turn` whose provider sees no personal data. What comes from it reads as if it had."""

    def __init__(self, turn: Turn) -> None:
        self._turn = turn
        self._masking = Masking()

    async def stream(self, draft: Drafted) -> AsyncGenerator[Begun | ToolsAsked | str | Usage, None]:
        """As `retrieval.generation.llm.Turn` promises."""
        restoring = Restoring(self._masking)
        async with aclosing(self._turn.stream(self._masked(draft))) as pieces:
            async for piece in pieces:
                match piece:
                    case str():
                        if text := restoring.feed(piece):
                            yield text
                    case ToolsAsked(calls=calls):
                        yield replace(piece, calls=tuple(map(self._restored, calls)))
                    case Usage():
                        if text := restoring.finish():
                            yield text
                        yield piece
                    case Begun():
                        yield piece

    def _masked(self, draft: Drafted) -> MaskedDraft:
        return MaskedDraft(draft, self._masking)

    def _restored(self, call: ToolCall) -> ToolCall:
        return replace(call, arguments=self._masking.restore(call.arguments))

    @property
    def cascades(self) -> bool:
        return self._turn.cascades

    @property
    def usage(self) -> Usage:
        return self._turn.usage

    @property
    def cost_usd(self) -> Decimal | None:
        return self._turn.cost_usd

    async def check_budget(self, draft: Drafted) -> None:
        await self._turn.check_budget(self._masked(draft))

    def escalate(self) -> None:
        self._turn.escalate()

    async def leave(self) -> None:
        await self._turn.leave()


def shielded(turn: Turn, settings: GuardSettings) -> Turn:
    """The turn, whose provider sees personal data only where the policy allows it."""
    return MaskingTurn(turn) if settings.provider_pii == "mask" else turn
