"""Where sentences begin."""

from collections.abc import Iterator

from sentencex import get_sentence_boundaries

_WINDOW = 20_000  # characters: the splitter's time grows with the square of what it is given
_UNSURE = 100  # characters before a window's end, whose borders may depend on what follows
_LONGEST = 2_000  # a sentence cut short by the window's end is looked at again, unless it is this long


def sentence_starts(text: str, language: str) -> Iterator[int]:
    """The offsets at which sentences begin, in order, without the first.

    A text is split in windows that begin where sentences do, so that their borders leave no mark; only in a sentence
    of thousands of characters may one fall between two of its words.
    """
    start = 0
    while start < len(text):
        end = min(start + _WINDOW, len(text))
        found = get_sentence_boundaries(language, text[start:end])
        starts = [start + each["start_index"] for each in found if each["start_index"] > 0]
        if end < len(text):
            starts = _until(text, [each for each in starts if each < end - _UNSURE], end)
        yield from starts
        start = starts[-1] if end < len(text) else end


def _until(text: str, starts: list[int], end: int) -> list[int]:
    """The starts in a window that ends inside a text; the next window begins at the last of them."""
    if starts and starts[-1] > end - _LONGEST:
        return starts
    space = max(text.rfind(mark, end - _LONGEST, end) for mark in "\n\t ")
    return [*starts, space + 1 if space >= 0 else end]
