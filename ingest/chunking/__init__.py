"""From a `Document` to its chunks: citable slices that the embedding model can take whole."""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from itertools import groupby, pairwise

from ingest.chunking.contexts import Contexts
from ingest.chunking.packing import Packing, pack
from ingest.chunking.pieces import Piece, divide, pieces_of
from ingest.domain import Chunk, Document
from retrieval.domain import Section

__all__ = ["cut"]

CountTokens = Callable[[Sequence[str]], list[int]]
_LONGEST_TOKEN = 16  # characters: a tokenizer that calls a blob one unknown token must not make endless chunks
_LONGEST_SPACE = 64  # characters: nor one that does not see white space
_SAFETY = 0.85  # pieces of a sentence are cut this much shorter than they might be


def cut(document: Document, count_tokens: CountTokens, max_tokens: int, overlap_tokens: int) -> list[Chunk]:
    """The chunks of a document, in order; together they cover every character but whitespace.

    No chunk, with its context, has more than `max_tokens`. Sentences are cut only when longer than a chunk, and
    then at words; tables and code only when longer than a chunk, and then at rows and lines. What begins in the middle
    of a table or a list is told what it goes on from: the header, the lead-in. A chunk repeats at most
    `overlap_tokens` of whole sentences from the chunk before, within a section. Small sections of one parent share
    a chunk, whose heading path is that of its first content.
    """
    pieces = pieces_of(document)
    places = [place for piece in pieces for place in (piece.place, (piece.path, piece.lead_of_parts))]
    contexts = Contexts(document.title, places, count_tokens, max_tokens)
    fitted = _fitted(document.text, pieces, count_tokens, contexts)
    packings = pack(list(_with_gaps(fitted)), contexts.room, overlap_tokens)
    return _verified(document, packings, count_tokens, contexts)


def _fitted(text: str, pieces: Sequence[Piece], count_tokens: CountTokens, contexts: Contexts) -> list[Piece]:
    """The pieces with their tokens, those too long for a chunk divided until they fit."""
    fitted = _measured(text, pieces, count_tokens)
    while any(_is_over(piece, contexts) for piece in fitted):
        divided = [_parts(text, piece, contexts) if _is_over(piece, contexts) else [piece] for piece in fitted]
        fresh = [part for parts in divided if len(parts) > 1 for part in parts]
        measured = iter(_measured(text, fresh, count_tokens))
        fitted = [next(measured) if len(parts) > 1 else part for parts in divided for part in parts]
    return fitted


def _is_over(piece: Piece, contexts: Contexts) -> bool:
    return piece.tokens > contexts.room(piece.place) and piece.end - piece.start > 1


def _parts(text: str, piece: Piece, contexts: Contexts) -> list[Piece]:
    room = max(1, int(contexts.room(piece.place) * _SAFETY))
    return divide(text, piece, max(2, -(-piece.tokens // room)))


def _measured(text: str, pieces: Sequence[Piece], count_tokens: CountTokens) -> list[Piece]:
    if not pieces:
        return []
    # With the space that follows, which some tokenizers count.
    slices = [text[piece.start : piece.end + 1] for piece in pieces]
    special, *counts = count_tokens(["", *slices])
    least = (max(sum(map(len, each.split())) // _LONGEST_TOKEN, len(each) // _LONGEST_SPACE) for each in slices)
    return [
        piece.sized(max(1, count - special, floor)) for piece, count, floor in zip(pieces, counts, least, strict=True)
    ]


def _with_gaps(pieces: Sequence[Piece]) -> Iterator[Piece]:
    """Pieces that also pay for the white space after them, should it be excessive."""
    for piece, following in pairwise(pieces):
        gap = (following.start - piece.end) // _LONGEST_SPACE
        yield piece.sized(piece.tokens + gap) if gap else piece
    yield from pieces[-1:]


def _verified(
    document: Document, packings: Sequence[Packing], count_tokens: CountTokens, contexts: Contexts
) -> list[Chunk]:
    """Sums of tokens are estimates: each chunk is counted as a whole, and divided where it is over."""
    counts: dict[tuple[int, int], int] = {}
    while True:
        fresh = [packing for packing in packings if packing.span not in counts]
        texts = [_embedded_text(document, packing, contexts) for packing in fresh]
        counts.update(zip((packing.span for packing in fresh), count_tokens(texts), strict=True) if fresh else ())
        over = {p.span for p in packings if counts[p.span] > contexts.max_tokens and p.is_divisible}
        if not over:
            break
        packings = list(_divided(document.text, packings, over))
    return [_chunk(document, ordinal, p, counts[p.span], contexts) for ordinal, p in enumerate(packings)]


def _divided(text: str, packings: Sequence[Packing], over: AbstractSet[tuple[int, int]]) -> Iterator[Packing]:
    after_divided = False
    for packing in packings:
        divide_it = packing.span in over
        if divide_it:
            yield from packing.divided(text)
        else:
            # What it repeats may reach back before the last part of the divided one.
            yield packing.alone() if after_divided else packing
        after_divided = divide_it


def _embedded_text(document: Document, packing: Packing, contexts: Contexts) -> str:
    return f"{contexts.of(packing.place)}\n{document.text[packing.start : packing.end]}"


def _chunk(document: Document, ordinal: int, packing: Packing, token_count: int, contexts: Contexts) -> Chunk:
    pages = document.page_starts
    return Chunk(
        ordinal=ordinal,
        heading_path=packing.path,
        sections=tuple(_sections(packing)),
        context=contexts.of(packing.place),
        lead=contexts.lead(packing.place),
        text=document.text[packing.start : packing.end],
        char_start=packing.start,
        char_end=packing.end,
        first_page=max(1, bisect_right(pages, packing.start)) if pages else None,
        last_page=max(1, bisect_right(pages, packing.end - 1)) if pages else None,
        page_starts=tuple(pages[bisect_right(pages, packing.start) : bisect_right(pages, packing.end - 1)]),
        token_count=token_count,
    )


def _sections(packing: Packing) -> Iterator[Section]:
    """Where each section inside the packing begins."""
    for path, pieces in groupby(packing.pieces, key=lambda piece: piece.path):
        yield Section(start=next(pieces).start, heading_path=path)
