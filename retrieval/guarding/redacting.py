"""Takes credentials and personal data out of a text that is still being written."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache

import regex

from retrieval.guarding.invisible import without_invisible
from retrieval.guarding.patterns import KEY_END, PII, SECRETS, Kind, Pattern

_CONTEXT = 8
"""Characters already given that a shape may look back at."""
_LONGEST_KEY_END = 80
_SLICE = 256


@cache
def _compiled(pattern: Pattern) -> "regex.Pattern[str]":
    return regex.compile(pattern.shape)


@cache
def _beginnings(patterns: tuple[Pattern, ...]) -> "regex.Pattern[str]":
    """What never matches as a whole: a partial match is then the first place at which any shape may still come."""
    return regex.compile(rf"(?:{'|'.join(one.shape for one in patterns)})(?!)")


_KEY_END = regex.compile(KEY_END)


def patterns_of(*, secrets: bool, pii: bool) -> tuple[Pattern, ...]:
    """What is looked for under this policy."""
    return (*(SECRETS if secrets else ()), *(PII if pii else ()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A match from `begin` on, of which the characters `start` to `end` are to be removed."""

    pattern: Pattern
    begin: int
    start: int
    end: int


def find(text: str, patterns: Sequence[Pattern], start: int = 0) -> Found | None:
    """The first match at or after `start`; of several at one place, that of the pattern named first."""
    found = [one for pattern in patterns if (one := _first(text, pattern, start))]
    return min(found, key=lambda one: one.begin, default=None)


def every(text: str, patterns: Sequence[Pattern]) -> Iterator[Found]:
    """What `find()` would find, one after another. Each pattern reads the text once, however much is in it."""
    upcoming, at = [_first(text, pattern, 0) for pattern in patterns], 0
    while found := min((one for one in upcoming if one), key=lambda one: one.begin, default=None):
        yield found
        at = found.end
        for nth, one in enumerate(upcoming):
            if one and one.begin < at:
                upcoming[nth] = _first(text, one.pattern, at)


def _first(text: str, pattern: Pattern, start: int) -> Found | None:
    while match := _compiled(pattern).search(text, start):
        begin = match.start()
        group = "value" if "value" in match.groupdict() else 0
        if size := pattern.size(match[group]):
            first = match.start(group)
            return Found(pattern=pattern, begin=begin, start=first, end=first + size)
        start = begin + 1
    return None


@dataclass(slots=True)
class Redaction:
    """However the text is cut into pieces, what comes out is the same. Only what may still become a match waits."""

    patterns: tuple[Pattern, ...]
    counts: Counter[Kind] = field(default_factory=Counter)
    pending: str = ""
    _before: str = ""
    _rest: str = ""
    _in_key: bool = False

    def feed(self, piece: str) -> str:
        """What is certain after this piece."""
        slices = range(0, len(piece), _SLICE)  # each redaction reads on to the slice's end
        return "".join(self._given(piece[at : at + _SLICE], final=False) for at in slices)

    def finish(self) -> str:
        """What was held back."""
        return self._given("", final=True)

    def _given(self, piece: str, *, final: bool) -> str:
        self.pending += without_invisible(piece, self.pending or self._before)
        given = ""
        while self._skip(final=final):
            text, more = self._step(final=final)
            self._before = (self._before + text)[-_CONTEXT:]
            given += text
            if not more:
                break
        return given

    def _skip(self, *, final: bool) -> bool:
        """Drops what is left of a credential. False: all that there is, and there may be more of it."""
        if self._in_key:
            end = _KEY_END.search(self.pending)
            self.pending = self.pending[end.end() :] if end else self.pending[-_LONGEST_KEY_END:]
            if end is None:
                self.pending = "" if final else self.pending
                return False
            self._in_key = False
        if self._rest:
            self.pending = regex.sub(rf"\A{self._rest}+", "", self.pending)
            if not self.pending:
                return False
            self._rest = ""
        return bool(self.pending)

    def _step(self, *, final: bool) -> tuple[str, bool]:
        """What comes before the next match and stands for it, and whether to go on."""
        text, start = self._before + self.pending, len(self._before)
        found = find(text, self.patterns, start)
        certain = len(text) if final else self._certain(text, start)
        if found is None or certain <= found.begin:
            self.pending = text[certain:]
            return text[start:certain], False
        self.counts[found.pattern.kind] += 1
        self._rest, self._in_key = found.pattern.rest, found.pattern.name == "key"
        self.pending = text[found.end :]
        return text[start : found.start] + found.pattern.replacement, True

    def _certain(self, text: str, start: int) -> int:
        """Up to where nothing that may still come makes a match."""
        partial = _beginnings(self.patterns).search(text, start, partial=True) if self.patterns else None
        return partial.start() if partial else len(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Redacted:
    """A whole text, and how many of each kind were taken out of it."""

    text: str
    counts: Counter[Kind]


def redact(text: str, patterns: tuple[Pattern, ...]) -> Redacted:
    """The text without what the patterns describe."""
    redaction = Redaction(patterns)
    whole = redaction.feed(text) + redaction.finish()
    return Redacted(text=whole, counts=redaction.counts)
