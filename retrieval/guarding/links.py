"""Links that lead to cited documents only, while the text is still being written.

Nothing else reads as a link, an image or active HTML to a Markdown renderer afterwards, a linkifying one included.
Destinations are taken out and their text stays. A word is held back until its end is there; a link that a passage
names, until that passage is cited in the same line.
"""

from collections.abc import Callable

import regex

from retrieval.guarding.destinations import TRAILING, URL, Destinations, Verdict, plain

REMOVED = "[link removed]"
_MOST_UNDECIDED = 400
"""Characters within which the citation that allows a link must follow it."""
_LONGEST_RUN = 2000
_LONGEST_LINK = 1500

_BLANK = regex.compile(r"\s+")
_IDEOGRAPHS = regex.compile(r"[\u2e80-\ufaff\U00020000-\U0003ffff]+")
_WORD = regex.compile(r"(?:[^\s<>\[\]!\u2e80-\ufaff\U00020000-\U0003ffff]|!(?!\[))+")
_RUN = regex.compile(r"(?:[^\s<>\[\]!]|!(?!\[))+")
_LINK = regex.compile(
    r"\]\([ \t]*+\n?[ \t]*+(?:<(?P<angle>[^<>\n]{0,1000}+)>"
    r"|(?P<bare>(?!<)(?:[^\s()\\]|\\.|\((?:[^\s()\\]|\\.|\((?:[^\s()\\]|\\.){0,200}+\)){0,500}+\)){0,1000}+))"
    r"(?:\s{1,3}+(?:\"(?:[^\"\\]|\\.){0,300}+\"|'(?:[^'\\]|\\.){0,300}+'|\((?:[^()\\]|\\.){0,300}+\)))?\s{0,3}+\)"
)
_TAG = regex.compile(r"</?(?P<name>[A-Za-z][A-Za-z0-9]{0,30})\s{0,2}+/?>")
_ANGLED = regex.compile(r"<(?P<url>[^\s<>]{1,1000}+)>")
_OPENING = frozenset("([{<>\"'*_,;|")
_TAG_GOES_ON = frozenset("/!?")
_ACTIVE_NAMES = (
    "a area applet audio base body button embed form frame frameset html head iframe image img input link map"
    " marquee math meta noscript object picture plaintext portal script select source style svg template textarea"
    " title track video xmp"
)
_ACTIVE = frozenset(_ACTIVE_NAMES.split())
_CONTAINERS = regex.compile(r"[\s>*+\-\d.)]*+")
_LIKE_A_URL = regex.compile(r"[:/.?#%&\\@]")

Step = tuple[str, int] | None
"""What is given for so many characters; None: more has to come first."""


class LinkFilter:
    """However the text is cut into pieces, no link leaves that `destinations` does not allow."""

    def __init__(self, destinations: Destinations) -> None:
        self._destinations = destinations
        self._line = ""
        self._may_define = False
        self._final = False
        self.pending = ""
        self.removed = 0

    def feed(self, piece: str) -> str:
        """What is certain after this piece; an empty one: after a citation."""
        self.pending += piece
        given, at = "", 0
        while at < len(self.pending) and (step := self._step(at)) is not None:
            text, size = step
            self._note(text)
            given += text
            at += size
        self.pending = self.pending[at:]
        return given

    def finish(self) -> str:
        """What was held back."""
        self._final = True
        return self.feed("")

    def _step(self, at: int) -> Step:
        steps: dict[str, Callable[[int], Step]] = {"!": self._exclamation, "<": self._angle, "]": self._closing}
        character = self.pending[at]
        if blank := _BLANK.match(self.pending, at):
            return blank[0], len(blank[0])
        if character in steps and (character != "!" or self.pending[at + 1 : at + 2] in {"", "["}):
            return steps[character](at)
        if character in "[>":
            return character, 1
        return self._word(at)

    def _exclamation(self, at: int) -> Step:
        """No image passes: without its `!` it is a link. After a word the `!` is the sentence's, a blank parts them."""
        if at + 1 == len(self.pending):
            return ("!", 1) if self._final else None
        return "! " if self._line[-1:].strip() else "", 1

    def _closing(self, at: int) -> Step:
        following = self.pending[at + 1 : at + 2]
        if following == "(":
            return self._link(at)
        if following == ":" and self._may_define:
            return "] ", 1  # `[label]:` would define where `[label]` leads
        return None if not following and not self._final else ("]", 1)

    def _link(self, at: int) -> Step:
        match = _LINK.match(self.pending, at, partial=not self._final)
        if match is not None and match.partial and len(self.pending) - at < _LONGEST_LINK:
            return None
        if match is None or match.partial:
            return "] ", 1
        url = match["angle"] if match["angle"] is not None else match["bare"]
        verdict = self._verdict(url, at)
        if verdict is Verdict.ALLOWED:
            return match[0], len(match[0])
        if verdict is Verdict.UNDECIDED:
            return None
        if not _LIKE_A_URL.search(url):
            return "] ", 1
        self.removed += 1
        return "]", len(match[0])

    def _angle(self, at: int) -> Step:
        """A tag without attributes that does nothing, or an allowed address; all others are made text."""
        found = _ANGLED.match(self.pending, at, partial=not self._final)
        if found is not None and found.partial:
            return None
        verdict = self._verdict(found["url"], at) if found else Verdict.FORBIDDEN
        if verdict is Verdict.UNDECIDED:
            return None
        tag = _TAG.match(self.pending, at, partial=not self._final)
        if tag is not None and tag.partial:
            return None
        harmless = tag is not None and tag["name"].lower() not in _ACTIVE
        if found and (harmless or verdict is Verdict.ALLOWED):
            return found[0], len(found[0])
        if harmless and tag:
            return tag[0], len(tag[0])
        following = self.pending[at + 1 : at + 2]
        return "< " if following.isalpha() or following in _TAG_GOES_ON else "<", 1  # with a blank it is text

    def _word(self, at: int) -> Step:
        """A word, or an address as it stands. Ideographs are words of their own: they have no blanks to wait for."""
        if ideographs := _IDEOGRAPHS.match(self.pending, at):
            return ideographs[0], len(ideographs[0])
        word = _matched(_WORD, self.pending, at)
        if at + len(word) == len(self.pending) and not self._final and len(word) < _LONGEST_RUN:
            return None
        before = self._line[-1:]
        found = URL.search(before + self.pending[at : at + len(word) + 1])
        if found is None or found.start() >= len(before + word):
            return self._encoded(word[:_LONGEST_RUN])
        start = found.start()
        while earlier := URL.search(before + word, 0, start):
            start = earlier.start()
        return self._address(at, max(0, start - len(before)))

    def _address(self, at: int, start: int) -> Step:
        """The run of characters at `at`, which is an address from its `start` on."""
        run = _matched(_RUN, self.pending, at)
        if at + len(run) == len(self.pending) and not self._final and len(run) < _LONGEST_RUN:
            return None
        run = run[:_LONGEST_RUN]
        url = run[start:].rstrip(TRAILING)
        verdict = self._verdict(url, at)
        if verdict is Verdict.UNDECIDED:
            return None
        if verdict is Verdict.ALLOWED:
            return self._apart(run, start, start + len(url), self.pending[at + len(run) : at + len(run) + 1]), len(run)
        self.removed += 1
        return run[:start] + REMOVED + run[start + len(url) :], len(run)

    def _encoded(self, run: str) -> Step:
        if plain(run) != run and URL.search(plain(run)):
            self.removed += 1
            return REMOVED, len(run)
        return run + (" " if len(run) == _LONGEST_RUN else ""), len(run)

    def _apart(self, run: str, start: int, end: int, following: str) -> str:
        """The run with blanks around its address where a renderer would take its neighbours for a part of it."""
        before, closing = run[:start] or self._line, run[end:]
        left = "" if not before or before[-1].isspace() or before[-1] in _OPENING else " "
        right = "" if closing.isascii() else " "
        return run[:start] + left + run[start:end] + right + closing + (" " if following == "[" else "")

    def _verdict(self, url: str, at: int) -> Verdict:
        verdict = self._destinations.verdict(url)
        rest = self.pending[at:]
        late = self._final or len(rest) > _MOST_UNDECIDED or "\n" in rest
        return Verdict.FORBIDDEN if verdict is Verdict.UNDECIDED and late else verdict

    def _note(self, text: str) -> None:
        """Keeps the line so far, and whether a line of its paragraph began with a bracket."""
        if text == "[" and _CONTAINERS.fullmatch(self._line):
            self._may_define = True
        lines = (self._line + text).replace("\r", "\n").split("\n")
        if len(lines) > 2 or (len(lines) == 2 and not lines[0].strip()):
            self._may_define = False
        self._line = lines[-1][-200:] if len(lines[-1]) <= 200 else "…" + lines[-1][-100:]


def _matched(pattern: "regex.Pattern[str]", text: str, at: int) -> str:
    match = pattern.match(text, at)
    assert match is not None  # whoever asks has looked at the first character
    return str(match[0])
