"""Cuts our own instructions out of an answer that recites them."""

import re
from dataclasses import dataclass, field

REMOVED = "[instructions removed]"
_LEAKED = 8
"""Words in a row that stand so in the instructions. A shorter run may be anybody's sentence."""
_SUSPECT = 3
"""Words in a row from which on they wait: one or two common ones begin any sentence."""
_WORD = re.compile(r"\w+")
_WITH_WORD = re.compile(r"\W*\w+(?=\W)")
_LAST = re.compile(r"\W*\w+")


@dataclass(slots=True)
class InstructionFilter:
    """Reads word by word, whatever stands between the words and however the text is cut."""

    instructions: str
    removed: int = 0
    _words: list[str] = field(init=False)
    _runs: dict[int, int] = field(default_factory=dict)
    """Where a run would go on in the instructions, and its length."""
    _held: list[str] = field(default_factory=list)
    _unended: str = ""
    _cutting: bool = False

    def __post_init__(self) -> None:
        self._words = _WORD.findall(self.instructions.casefold())

    @property
    def pending(self) -> str:
        """What was taken and is neither given nor removed."""
        return "".join(self._held) + self._unended

    def feed(self, piece: str) -> str:
        """What is certain after this piece."""
        self._unended += piece
        given, at = "", 0
        while match := _WITH_WORD.match(self._unended, at):
            given += self._take(match[0])
            at = match.end()
        self._unended = self._unended[at:]
        if not self._held and not self._cutting and not _WORD.search(self._unended):
            given, self._unended = given + self._unended, ""
        return given

    def finish(self) -> str:
        """What was held back."""
        last = _LAST.match(self._unended)
        given = self._take(last[0]) if last else ""
        rest = self._unended[last.end() :] if last else self._unended
        whole = given + "".join(self._held) + rest
        self._held, self._unended = [], ""
        return whole

    def _take(self, chunk: str) -> str:
        """What this word, and the signs before it, make certain."""
        self._held.append(chunk)
        longest = self._continue(_WORD.findall(chunk.casefold())[-1])
        if longest >= _LEAKED:
            return self._cut(longest)
        self._cutting = False
        size = max(0, len(self._held) - (longest if longest >= _SUSPECT else 0))
        given, self._held = "".join(self._held[:size]), self._held[size:]
        return given

    def _continue(self, word: str) -> int:
        """The length of the longest run that this word belongs to."""
        self._runs = {at + 1: self._runs.get(at, 0) + 1 for at, own in enumerate(self._words) if own == word}
        return max(self._runs.values(), default=0)

    def _cut(self, longest: int) -> str:
        before, leaked = self._held[:-longest], self._held[-longest:]
        self._held = []
        if self._cutting:
            return ""
        self._cutting = True
        self.removed += 1
        return "".join(before) + _WORD.sub(REMOVED, leaked[0])
