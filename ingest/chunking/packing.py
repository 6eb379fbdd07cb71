"""Which pieces share a chunk."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate

from ingest.chunking.contexts import Place
from ingest.chunking.pieces import AT_SUBSECTION, Piece, divide

_TAIL = 0.6  # what is left for the last chunk of a run must fill this much of it, else the last two share evenly

Room = Callable[[Place], int]


@dataclass(frozen=True, slots=True)
class Packing:
    """The pieces of one chunk; the first `repeated` of them are also the last of the chunk before."""

    pieces: tuple[Piece, ...]
    repeated: int

    @property
    def start(self) -> int:
        return self.pieces[0].start

    @property
    def end(self) -> int:
        return self.pieces[-1].end

    @property
    def span(self) -> tuple[int, int]:
        return self.start, self.end

    @property
    def path(self) -> tuple[str, ...]:
        return self.pieces[0].path

    @property
    def place(self) -> Place:
        return self.pieces[0].place

    @property
    def is_divisible(self) -> bool:
        return len(self.pieces) > 1 or self.end - self.start > 1

    def alone(self) -> "Packing":
        """Without what it repeats of the packing before."""
        return Packing(self.pieces[self.repeated :], 0)

    def divided(self, text: str) -> list["Packing"]:
        """The same text in smaller packings, repeating nothing."""
        if self.repeated:
            return [self.alone()]
        if len(self.pieces) == 1:
            return [Packing((part,), 0) for part in divide(text, self.pieces[0], 2)]
        half = len(self.pieces) // 2
        return [Packing(self.pieces[:half], 0), Packing(self.pieces[half:], 0)]


def pack(pieces: Sequence[Piece], room: Room, overlap_tokens: int) -> list[Packing]:
    """Fill chunks in order, each ending at the best border near its end."""
    packings: list[Packing] = []
    start, repeated = 0, 0
    while start < len(pieces):
        limit = room(pieces[start - repeated].place)
        if repeated and _tokens(pieces[start - repeated : start + 1]) > limit:
            repeated = 0
        end = _best_end(pieces, start, repeated, room(pieces[start - repeated].place))
        packings.append(Packing(tuple(pieces[start - repeated : end]), repeated))
        start, repeated = end, _overlap(pieces, start, end, overlap_tokens)
    return packings


def _tokens(pieces: Sequence[Piece]) -> int:
    return sum(piece.tokens for piece in pieces)


def _best_end(pieces: Sequence[Piece], start: int, repeated: int, limit: int) -> int:
    """Where the chunk whose new pieces begin at `start` ends."""
    ends = range(start + 1, _run_end(pieces, start, 2 * limit) + 1)
    before = _tokens(pieces[start - repeated : start])
    sizes = list(accumulate((pieces[end - 1].tokens for end in ends), initial=before))[1:]
    if sizes[-1] <= limit:
        return ends[-1]
    aim = sizes[-1] / 2 if sizes[-1] < (1 + _TAIL) * limit else limit
    fitting = [(end, size) for end, size in zip(ends, sizes, strict=True) if size <= limit] or [(ends[0], sizes[0])]
    return max(fitting, key=lambda each: (pieces[each[0]].border - abs(each[1] - aim) / limit, each[0]))[0]


def _run_end(pieces: Sequence[Piece], start: int, tokens: int) -> int:
    """The end of the pieces that may share a chunk with this one, looking no further than `tokens`."""
    parent = pieces[start].path[:-1]
    size = 0
    for index in range(start, len(pieces)):
        piece = pieces[index]
        foreign = piece.border >= AT_SUBSECTION and piece.path[: len(parent)] != parent
        if index > start and (foreign or size > tokens):
            return index
        size += piece.tokens
    return len(pieces)


def _overlap(pieces: Sequence[Piece], start: int, end: int, overlap_tokens: int) -> int:
    """How many whole sentences before `end` the next chunk repeats: of its own section, never the whole chunk."""
    if end >= len(pieces) or pieces[end].section != pieces[end - 1].section:
        return 0
    count, size = 0, 0
    for piece in reversed(pieces[start + 1 : end]):
        size += piece.tokens
        if not piece.is_sentence or piece.section != pieces[end].section or size > overlap_tokens:
            break
        count += 1
    return count
