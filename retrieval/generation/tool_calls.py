"""What a model asks of its tools, put together from a stream's pieces, and what it is told in return."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from openai.types.chat.chat_completion_chunk import ChoiceDeltaToolCall

from retrieval.domain import RankedPassage

MOST_CALLS = 20
"""Calls that are kept of one reply; a model may write a thousand."""
MOST_CHARACTERS = 4000
"""Of a call's arguments; what is longer is refused."""
_MOST_NAME = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A call as the model wrote it. Nothing of it is known to be sound."""

    name: str
    arguments: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolResult:
    """What a call came to: a note that no text from outside can close, and the passages it found, new ones or not."""

    note: str
    passages: tuple[RankedPassage, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One round: what the model wrote before its calls, the calls as they were taken, and a result for each."""

    text: str
    calls: tuple[ToolCall, ...]
    results: tuple[ToolResult, ...]


@dataclass(slots=True)
class _Growing:
    call_id: str
    name: str = ""
    arguments: str = ""

    def take(self, name: str, arguments: str) -> None:
        # Some servers repeat the name with every piece.
        self.name = self.name or name[:_MOST_NAME]
        self.arguments = (self.arguments + arguments)[: MOST_CHARACTERS + 1]


@dataclass(slots=True)
class CallsText:
    """The calls of one reply as they arrive. `characters` counts all that was sent, kept or not."""

    characters: int = 0
    _calls: list[_Growing] = field(default_factory=list)
    _at_index: dict[int, _Growing] = field(default_factory=dict)

    def take(self, deltas: Iterable[ChoiceDeltaToolCall]) -> None:
        """Adds these pieces, each to the call that its index or else its id names."""
        for delta in deltas:
            name = (delta.function.name if delta.function else None) or ""
            arguments = (delta.function.arguments if delta.function else None) or ""
            self.characters += len(name) + len(arguments) + 1
            self._meant(delta.index, delta.id or "").take(name, arguments)

    @property
    def calls(self) -> tuple[ToolCall, ...]:
        """In the order in which they were begun."""
        return tuple(ToolCall(name=each.name, arguments=each.arguments) for each in self._calls)

    def _meant(self, index: int | None, call_id: str) -> _Growing:
        found = self._calls[-1] if index is None and self._calls else self._at_index.get(-1 if index is None else index)
        # Some servers give every call the index 0: another id is another call.
        if found is None or (call_id and found.call_id and found.call_id != call_id):
            found = _Growing(call_id)
            if index is not None:
                self._at_index[index] = found
            if len(self._calls) < MOST_CALLS:
                self._calls.append(found)
        return found
