"""What a language model is asked for, and how it is put to it: an answer, or a question that stands alone.

Which passages are shown depends on who is asked: the endpoint packs them, and hands them to `prompt()`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, Self

from retrieval.domain import RankedPassage, Tool, Utterance
from retrieval.generation.prompting import OF_TOOLS, Message, Prompt, build_prompt, harmless, render_passage
from retrieval.generation.tool_calls import Exchange, ToolResult
from retrieval.generation.tools import offered

_MOST_NOTES = 8000
"""Characters of what tools say besides passages, such as lists of documents: about two full lists."""


class Drafted(Protocol):
    """Anything that a model can be asked for."""

    @property
    def passages(self) -> tuple[RankedPassage, ...]:
        """What was found first, best first."""

    @property
    def brought(self) -> tuple[RankedPassage, ...]:
        """What tools brought besides, latest first."""

    @property
    def sends_schema(self) -> bool:
        """Whether the server is sent a JSON schema that the answer has to fit."""

    def prompt(self, shown: Sequence[RankedPassage]) -> Prompt:
        """What the model is given, with these of the passages."""

    def plain(self) -> Self | None:
        """The same without what not every server takes; None where there is nothing of the kind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A question and the passages found for it, best first; what tools were asked and brought since.

    The model may call `tools`; where there are none (any more), all that was found is put before it as if at once.
    """

    question: str
    passages: tuple[RankedPassage, ...]
    history: tuple[Utterance, ...] = ()
    exchanges: tuple[Exchange, ...] = ()
    tools: frozenset[Tool] = frozenset()

    @property
    def brought(self) -> tuple[RankedPassage, ...]:
        """What tools brought besides, latest first."""
        first = {ranked.number for ranked in self.passages}
        latest = [result for exchange in reversed(self.exchanges) for result in exchange.results]
        found = {ranked.number: ranked for result in latest for ranked in result.passages}
        return tuple(ranked for number, ranked in found.items() if number not in first)

    @property
    def sends_schema(self) -> bool:
        """Never."""
        return False

    def plain(self) -> "Draft | None":
        """The same for a server that knows no tools; None where none are offered."""
        return replace(self, tools=frozenset()) if self.tools else None

    def prompt(self, shown: Sequence[RankedPassage]) -> Prompt:
        """What the model is given. No text from outside can close a delimiter or open a turn."""
        ordered = sorted(shown, key=lambda ranked: ranked.number) if self.exchanges else shown
        if not self.tools:
            asked = build_prompt(self.question, ordered, self.history)
            return replace(asked, user=f"{self._notes()}{asked.user}")
        first = {ranked.number for ranked in self.passages}
        asked = build_prompt(self.question, [one for one in ordered if one.number in first], self.history)
        later = tuple(self._turns([one for one in ordered if one.number not in first]))
        return replace(asked, system=asked.system + OF_TOOLS, later=later, tools=offered(self.tools))

    def _notes(self) -> str:
        notes = [result.note for exchange in _short(self.exchanges) for result in exchange.results if result.note]
        return "".join(f"<tool_result>\n{note}\n</tool_result>\n\n" for note in notes)

    def _turns(self, shown: Sequence[RankedPassage]) -> Iterator[Message]:
        left = {ranked.number: ranked for ranked in shown}
        for at, exchange in enumerate(_short(self.exchanges)):
            ids = [f"call{at:02}{nth:03}" for nth, _ in enumerate(exchange.calls)]  # Mistral wants nine of a-z, 0-9
            calls = tuple(
                {
                    "id": call_id,
                    "type": "function",
                    "function": {"name": call.name, "arguments": harmless(call.arguments)},
                }
                for call_id, call in zip(ids, exchange.calls, strict=True)
            )
            yield Message(role="assistant", text=harmless(exchange.text), calls=calls)
            for call_id, result in zip(ids, exchange.results, strict=True):
                yield Message(role="tool", text=_rendered(result, left), answers=call_id)


def _short(exchanges: Sequence[Exchange]) -> list[Exchange]:
    """The exchanges with as many of the notes as there is room for, the latest before the older."""
    left, shown = _MOST_NOTES, list[Exchange]()
    for exchange in reversed(exchanges):
        results = list[ToolResult]()
        for result in exchange.results:
            left -= len(result.note)
            results.append(result if left >= 0 else replace(result, note="(left out for lack of room)"))
        shown.append(replace(exchange, results=tuple(results)))
    return shown[::-1]


def _rendered(result: ToolResult, left: dict[int, RankedPassage]) -> str:
    """The result as the model sees it; each passage once, where it was found first, and not where there is no room."""
    parts = [result.note] if result.note else []
    for ranked in result.passages:
        if ranked.number in left:
            parts.append(render_passage(left.pop(ranked.number)))
        else:
            parts.append(f"(passage {ranked.number}: given elsewhere, or left out for lack of room)")
    return "\n\n".join(parts) or "(nothing)"
