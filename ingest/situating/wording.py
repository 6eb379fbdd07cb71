"""What of a model's words may stand before a chunk: one line, printable, no longer than there is room for."""

from collections.abc import Callable, Sequence

from retrieval.guarding.invisible import without_invisible

_MOST_WORDS = 60


def worded(written: str, count_tokens: Callable[[Sequence[str]], list[int]], most_tokens: int) -> str:
    """The words on one line, as many as fit; "" where none are left."""
    visible = "".join(one if one.isprintable() else " " for one in without_invisible(written))
    words = visible.split()[:_MOST_WORDS]
    if not words:
        return ""
    beginnings = [" ".join(words[:length]) for length in range(len(words), 0, -1)]
    special, *counts = count_tokens(["", *beginnings])
    fitting = (line for line, count in zip(beginnings, counts, strict=True) if count - special <= most_tokens)
    return next(fitting, "")
