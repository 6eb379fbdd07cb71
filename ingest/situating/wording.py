"""What of a model's words may stand before a chunk: one line, printable, no longer than there is room for."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from ingest.domain import Chunk
from ingest.situating.prompting import VERSION
from retrieval.guarding.invisible import without_invisible
from retrieval.models.protocols import Embedder
from retrieval.settings import IngestSettings

_MOST_WORDS = 60
_LARGEST_SHARE = 4  # what is written takes at most a fourth of a chunk

Counting = Callable[[Sequence[str]], list[int]]


def worded(written: str, count_tokens: Counting, most_tokens: int) -> str:
    """The words on one line, as many as fit; "" where none are left."""
    visible = "".join(one if one.isprintable() else " " for one in without_invisible(written))
    words = visible.split()[:_MOST_WORDS]
    if not words:
        return ""
    beginnings = [" ".join(words[:length]) for length in range(len(words), 0, -1)]
    special, *counts = count_tokens(["", *beginnings])
    fitting = (line for line, count in zip(beginnings, counts, strict=True) if count - special <= most_tokens)
    return next(fitting, "")


def room_for_words(settings: IngestSettings, embedder: Embedder) -> int:
    """Tokens to leave in each chunk for them."""
    return min(settings.context_tokens, embedder.max_tokens // _LARGEST_SHARE)


def recipe_of_words(model: str, room: int) -> str:
    """What they depend on besides the document."""
    return f"context {VERSION}|{model}|{room}"


def with_words(chunks: Sequence[Chunk], words: Sequence[str], count_tokens: Counting) -> tuple[Chunk, ...]:
    """The chunks, each with its words in its context, where there are any."""
    situated = [_with_words(chunk, said) for chunk, said in zip(chunks, words, strict=True)]
    counts = count_tokens([f"{chunk.context}\n{chunk.text}" for chunk in situated])
    return tuple(replace(chunk, token_count=count) for chunk, count in zip(situated, counts, strict=True))


def _with_words(chunk: Chunk, words: str) -> Chunk:
    """Between the headings and what the text goes on from: a table's header stays with its rows."""
    headings, *lead = chunk.context.split("\n", 1)
    return replace(chunk, context="\n".join((headings, words, *lead))) if words else chunk
