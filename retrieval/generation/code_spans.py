"""Where Markdown that is still being written turns to code, and back."""

import re
from collections.abc import Iterator

_LONGEST_INLINE_CODE = 200
_LONGEST_FENCE_LINE = 200


class CodeSplitter:
    """Cuts Markdown into (text, is code): fenced blocks, and runs between equal backticks within a line."""

    def __init__(self) -> None:
        self._buffer = ""
        self._fence = ""
        self._at_line_start = True

    def feed(self, piece: str) -> tuple[tuple[str, bool], ...]:
        """What is certain after this piece."""
        self._buffer += piece
        return tuple(self._segments(final=False))

    def finish(self) -> tuple[tuple[str, bool], ...]:
        """What was held back; code that was never closed is text, but for a fence."""
        return (*self._segments(final=True), (self._take(len(self._buffer)), bool(self._fence)))

    def _segments(self, *, final: bool) -> Iterator[tuple[str, bool]]:
        while self._buffer:
            size, is_code = self._code_line(final=final) if self._fence else self._prose(final=final)
            if not size:
                return
            yield self._take(size), is_code

    def _take(self, size: int) -> str:
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        _, newline, line = taken.rpartition("\n")
        self._at_line_start = (bool(newline) or self._at_line_start) and not line.strip()
        return taken

    def _code_line(self, *, final: bool) -> tuple[int, bool]:
        """One line inside a fence, which may be the fence's end."""
        line, newline, _ = self._buffer.partition("\n")
        if not newline:
            return (len(line) if final else 0), True
        if line.strip().startswith(self._fence) and not line.strip(" \t\r`"):
            self._fence = ""
        return len(line) + 1, True

    def _prose(self, *, final: bool) -> tuple[int, bool]:
        """Text up to the next backticks; at backticks, the code they open or (unclosed) they themselves."""
        run = re.search("`+", self._buffer)
        if run is None or run.start():
            return (run.start() if run else len(self._buffer)), False
        if run.end() == len(self._buffer) and not final:
            return 0, False
        if run.end() >= 3 and self._at_line_start:
            if (opens := self._opens_fence(run.end(), final=final)) is None:
                return 0, False
            if opens:
                self._fence = run[0]
                return run.end(), True
        return self._inline(run, final=final)

    def _opens_fence(self, begin: int, *, final: bool) -> bool | None:
        """Whether backticks at a line's start open a block: not with more of them in their line. None: to be seen."""
        line, newline, _ = self._buffer[begin : begin + _LONGEST_FENCE_LINE].partition("\n")
        if "`" in line or len(line) == _LONGEST_FENCE_LINE:
            return False
        return True if newline or final else None

    def _inline(self, run: re.Match[str], *, final: bool) -> tuple[int, bool]:
        """The code that the run opens, or (unclosed) the run itself."""
        rest = self._buffer[run.end() : run.end() + _LONGEST_INLINE_CODE + 2]
        newline = rest.find("\n", 0, _LONGEST_INLINE_CODE)
        limit = newline if newline >= 0 else _LONGEST_INLINE_CODE
        close = re.search(rf"(?<!`){run[0]}(?!`)", rest)
        if close and close.end() <= limit and (final or close.end() < len(rest)):
            return run.end() + close.end(), True
        return (run.end() if final or len(rest) > limit else 0), False
