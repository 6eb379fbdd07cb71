"""What stands around the passages that were found: the chunks next to each, or the rest of its section.

Only what fits beside all that was found: a passage is never given up for another one's surroundings.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from uuid import UUID

from retrieval.access import Caller
from retrieval.database.statements import tenant_statement
from retrieval.database.store import Store
from retrieval.domain import Passage, Section, Surroundings
from retrieval.search.chunks import StoredChunk
from retrieval.search.fusion import FusedPassage
from retrieval.search.narrowing import Narrowing
from retrieval.search.neighbours import MOST_JOINED, read_spans, spanning

_SURROUNDING = tenant_statement("retrieval.search", "surrounding_chunks")

_FURTHEST = {Surroundings.NONE: 0, Surroundings.NEIGHBOURS: 1, Surroundings.SECTION: 8}
"""Chunks that a passage may grow by at either end: a section may be a book."""

_Chunks = Mapping[UUID, Mapping[int, Passage]]
"""By document and ordinal."""


async def with_surroundings(
    store: Store,
    caller: Caller,
    found: Sequence[FusedPassage],
    wanted: Surroundings,
    narrowing: Narrowing,
    room: int,
    size: Callable[[str], int],
) -> tuple[FusedPassage, ...]:
    """The passages in their order, the best first grown by what stands around them, together by at most `room`.

    A grown passage is the document's text from its first chunk's start to its last one's end, and overlaps no other
    passage by more than it did before. It holds nothing that the caller may not see or that the filter leaves out.
    One of a document that changed or was revoked since it was found stays as it is. Raises `StoreUnavailable`.
    """
    if wanted is Surroundings.NONE or room <= 0 or not found:
        return tuple(found)
    chunks = await _near(store, caller, found, wanted, narrowing)
    growing = _Growing([each.passage for each in found], room, size)
    for at in range(len(found)):
        growing.grow(at, chunks.get(found[at].passage.key.document_id, {}), wanted)
    grown = [whole for whole, each in zip(growing.passages, found, strict=True) if _longer(whole, each.passage)]
    texts = await read_spans(store, caller, grown) if grown else {}
    return tuple(
        _grown(each, whole, texts.get((whole.key.document_id, whole.char_start)))
        for each, whole in zip(found, growing.passages, strict=True)
    )


async def _near(
    store: Store, caller: Caller, found: Sequence[FusedPassage], wanted: Surroundings, narrowing: Narrowing
) -> _Chunks:
    async with store.session(caller) as session:
        rows = await session.rows(
            StoredChunk,
            _SURROUNDING,
            document_ids=[each.passage.key.document_id for each in found],
            versions=[each.passage.version for each in found],
            ordinals=[each.passage.key.ordinal for each in found],
            # From the best chunk of a passage, which may be its first or its last one.
            reach=MOST_JOINED - 1 + _FURTHEST[wanted],
            **narrowing.parameters,
        )
    chunks: dict[UUID, dict[int, Passage]] = defaultdict(dict)
    for row in rows:
        chunks[row.document_id][row.ordinal] = row.passage
    return chunks


class _Growing:
    """Passages that grow, one after the other, until there is no room left."""

    def __init__(self, passages: list[Passage], room: int, size: Callable[[str], int]) -> None:
        self.passages = passages
        self._room = room
        self._size = size

    def grow(self, at: int, chunks: Mapping[int, Passage], wanted: Surroundings) -> None:
        """By a chunk after it and a chunk before it in turn, while there are any that belong to it."""
        found = self.passages[at]
        first = next((n for n, one in chunks.items() if one.char_start == found.char_start), None)
        last = next((n for n, one in chunks.items() if one.char_end == found.char_end), None)
        if first is None or last is None:
            return
        ends = {1: last, -1: first}
        for _ in range(_FURTHEST[wanted]):
            for step in tuple(ends):
                following = chunks.get(ends[step] + step)
                if following is not None and wanted is Surroundings.SECTION:
                    following = _started(following, found) if step < 0 else _ended(following, found)
                if following is not None and self._takes(at, following, step):
                    ends[step] += step
                else:
                    del ends[step]

    def _takes(self, at: int, chunk: Passage, step: int) -> bool:
        """Adds the chunk at the passage's end, or with a `step` of -1 at its start, if there is room for it."""
        passage, cost = self.passages[at], self._size(chunk.text)
        if cost > self._room or any(_overlap(chunk, other) for other in self.passages if other is not passage):
            return False
        self._room -= cost
        self.passages[at] = replace(spanning((passage, chunk) if step > 0 else (chunk, passage)), key=passage.key)
        return True


def _started(chunk: Passage, found: Passage) -> Passage | None:
    """The end of the chunk, as far as it is of the section that the passage begins in."""
    [*earlier, last] = chunk.sections or [Section(start=chunk.char_start, heading_path=chunk.heading_path)]
    if last.heading_path != found.headings_at(found.char_start):
        return None
    if not earlier:
        return chunk
    return replace(
        chunk,
        text=chunk.text[last.start - chunk.char_start :],
        char_start=last.start,
        first_page=chunk.page_at(last.start),
        page_starts=tuple(start for start in chunk.page_starts if start > last.start),
        heading_path=last.heading_path,
        sections=(last,),
        lead="",
    )


def _ended(chunk: Passage, found: Passage) -> Passage | None:
    """The beginning of the chunk, as far as it is of the section that the passage ends in."""
    [first, *later] = chunk.sections or [Section(start=chunk.char_start, heading_path=chunk.heading_path)]
    if first.heading_path != found.headings_at(found.char_end - 1):
        return None
    if not later:
        return chunk
    text = chunk.text[: later[0].start - chunk.char_start].rstrip()
    end = chunk.char_start + len(text)
    return replace(
        chunk,
        text=text,
        char_end=end,
        last_page=chunk.page_at(end - 1),
        page_starts=tuple(start for start in chunk.page_starts if start < end),
        sections=(first,),
    )


def _overlap(one: Passage, other: Passage) -> bool:
    same = one.key.document_id == other.key.document_id
    return same and one.char_start < other.char_end and other.char_start < one.char_end


def _longer(whole: Passage, passage: Passage) -> bool:
    return (whole.char_start, whole.char_end) != (passage.char_start, passage.char_end)


def _grown(found: FusedPassage, whole: Passage, text: str | None) -> FusedPassage:
    """The passage with this text around its own: a document taken away and put back begins at version 1 again."""
    start = found.passage.char_start - whole.char_start
    if text is None or not text.startswith(found.passage.text, start):
        return found
    return replace(found, passage=replace(whole, text=text))
