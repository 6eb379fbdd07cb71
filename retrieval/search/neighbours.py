"""Neighbouring chunks that were found together are read as one: what was cut for the model is whole for the reader."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from uuid import UUID

from retrieval.access import Caller
from retrieval.database.statements import tenant_statement
from retrieval.database.store import Store
from retrieval.domain import Passage
from retrieval.search.fusion import FusedPassage

_TEXTS = tenant_statement("retrieval.search", "continuous_texts")

MOST_JOINED = 4
"""Chunks of one passage: about 1,000 tokens with the default model, a third of what an LLM is given."""

_Group = tuple[FusedPassage, ...]
"""Chunks of one document in its order, each following the one before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Text:
    document_id: UUID
    char_start: int
    text: str


async def join_neighbours(
    store: Store, caller: Caller, found: Sequence[FusedPassage], limit: int
) -> tuple[FusedPassage, ...]:
    """The first `limit` passages, where those whose chunks follow each other are one, at the place of the best.

    A joined passage is the document's text from the first chunk's start to the last one's end, with all their sections
    and pages. Chunks of a document that changed or was revoked since they were found stay apart.
    Raises `StoreUnavailable`.
    """
    order = {each.passage.key: place for place, each in enumerate(found)}
    groups = _first_groups(found, limit)
    spans = {group[0].passage.key: spanning([each.passage for each in group]) for group in groups if len(group) > 1}
    texts = await read_spans(store, caller, list(spans.values())) if spans else {}
    passages: list[FusedPassage] = []
    for group in groups:
        span = spans.get(group[0].passage.key)
        text = texts.get((span.key.document_id, span.char_start)) if span else None
        if span is None or text is None or not _of(group, text):
            passages += group
        else:
            best = min(group, key=lambda each: order[each.passage.key])
            passages.append(_joined(group, best, replace(span, key=best.passage.key, text=text)))
    return tuple(sorted(passages, key=lambda each: order[each.passage.key])[:limit])


def _first_groups(found: Sequence[FusedPassage], limit: int) -> list[_Group]:
    """As many of the first passages as make `limit` groups."""
    taken = min(limit, len(found))
    groups = list(_groups(found[:taken]))
    while len(groups) < limit and taken < len(found):
        taken += limit - len(groups)
        groups = list(_groups(found[:taken]))
    return groups


def _groups(found: Sequence[FusedPassage]) -> Iterator[_Group]:
    by_place = sorted(found, key=lambda each: each.passage.key)
    # What follows each other has the same distance to its place in line.
    numbered = ((each.passage.key.document_id, each.passage.key.ordinal - at, each) for at, each in enumerate(by_place))
    for _, run in groupby(numbered, key=lambda item: item[:2]):
        chunks = [each for *_, each in run]
        for start in range(0, len(chunks), MOST_JOINED):
            yield tuple(chunks[start : start + MOST_JOINED])


def spanning(parts: Sequence[Passage]) -> Passage:
    """The passage of all these, which follow each other, its text apart."""
    whole = parts[0]
    for following in parts[1:]:
        whole = replace(
            whole,
            char_end=max(whole.char_end, following.char_end),
            last_page=following.last_page,
            page_starts=(*whole.page_starts, *_pages_begun(whole, following)),
            sections=(*whole.sections, *(one for one in following.sections if one.start >= whole.char_end)),
        )
    return whole


def _pages_begun(whole: Passage, following: Passage) -> Iterator[int]:
    """Where pages begin that the first chunk has no part of; a page that begins between the two begins the second."""
    if whole.last_page is not None and following.first_page is not None:
        yield from [following.char_start] * (following.first_page - whole.last_page)
    yield from (start for start in following.page_starts if start >= whole.char_end)


async def read_spans(store: Store, caller: Caller, spans: Sequence[Passage]) -> dict[tuple[UUID, int], str]:
    """The spans' texts as they are stored, by document and start. Raises `StoreUnavailable`."""
    async with store.session(caller) as session:
        rows = await session.rows(
            _Text,
            _TEXTS,
            document_ids=[span.key.document_id for span in spans],
            versions=[span.version for span in spans],
            char_starts=[span.char_start for span in spans],
            char_ends=[span.char_end for span in spans],
        )
    return {(row.document_id, row.char_start): row.text for row in rows}


def _of(group: _Group, text: str) -> bool:
    """Whether the text is that of the chunks: a document taken away and put back begins at version 1 again."""
    return text.startswith(group[0].passage.text) and text.endswith(group[-1].passage.text)


def _joined(group: _Group, best: FusedPassage, passage: Passage) -> FusedPassage:
    duplicates = {document for each in group for document in each.duplicates}
    return replace(best, passage=passage, duplicates=tuple(sorted(duplicates)))
