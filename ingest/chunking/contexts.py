"""What is said before a chunk's text: where it stands, title and headings, and what it goes on from."""

from collections.abc import Callable, Iterable, Sequence

_SEPARATOR = " › "
_LARGEST_SHARE = 4  # headings take at most a fourth of a chunk, what it goes on from another
_ELLIPSIS = "…"

Path = tuple[str, ...]
Place = tuple[Path, str]
"""Headings, and what the text under them goes on from ("" where it begins something of its own)."""


class Contexts:
    """The contexts of a document's places, and the tokens each leaves for the text."""

    def __init__(
        self,
        title: str,
        places: Iterable[Place],
        count_tokens: Callable[[Sequence[str]], list[int]],
        max_tokens: int,
    ) -> None:
        self.max_tokens = max_tokens
        self._count = count_tokens
        self._special = count_tokens([""])[0]
        distinct = list(dict.fromkeys(places))
        paths = list(dict.fromkeys(path for path, _ in distinct))
        leads = list(dict.fromkeys(lead for _, lead in distinct))
        headings = dict(zip(paths, self._shortened([_parts(title, path) for path in paths]), strict=True))
        self._leads = dict(zip(leads, self._shortened([[lead] for lead in leads]), strict=True))
        self._texts = {place: _in_lines(headings[place[0]], self._leads[place[1]]) for place in distinct}
        # Counted with the newline that joins it to the text.
        counts = count_tokens([text + "\n" for text in self._texts.values()]) if distinct else []
        self._rooms = {place: max(1, max_tokens - count) for place, count in zip(distinct, counts, strict=True)}

    def of(self, place: Place) -> str:
        """The context of a place."""
        return self._texts[place]

    def lead(self, place: Place) -> str:
        """What the text goes on from, as it stands in the context."""
        return self._leads[place[1]]

    def room(self, place: Place) -> int:
        """How many tokens of text fit in a chunk at this place."""
        return self._rooms[place]

    def _shortened(self, contexts: Sequence[Sequence[str]]) -> list[str]:
        full = [_SEPARATOR.join(parts) for parts in contexts]
        counts = self._count(full) if full else []
        return [
            text if self._fits(count) else self._shorten(parts)
            for text, count, parts in zip(full, counts, contexts, strict=True)
        ]

    def _fits(self, count: int) -> bool:
        return count - self._special <= self.max_tokens // _LARGEST_SHARE

    def _shorten(self, parts: Sequence[str]) -> str:
        """Without the headings furthest from the text; then, with as many words as fit."""
        title, *path = parts
        without = [_SEPARATOR.join([title, *path[index:]]) for index in range(1, max(1, len(path)))]
        shortest = without[-1] if without else _SEPARATOR.join(parts)
        return self._first_fitting(without) or self._first_fitting(_shorter_by_words(shortest)) or ""

    def _first_fitting(self, candidates: Sequence[str]) -> str | None:
        counts = self._count(candidates) if candidates else []
        return next((text for text, count in zip(candidates, counts, strict=True) if self._fits(count)), None)


def _in_lines(headings: str, lead: str) -> str:
    return f"{headings}\n{lead}" if lead else headings


def _parts(title: str, path: Path) -> list[str]:
    title = " ".join(title.split())
    repeated = bool(path) and path[0].casefold() == title.casefold()
    return [title, *path[repeated:]]


def _shorter_by_words(text: str) -> list[str]:
    words = text.split(" ")[:100]
    return [" ".join(words[:length]) + _ELLIPSIS for length in range(len(words), 0, -1)]
