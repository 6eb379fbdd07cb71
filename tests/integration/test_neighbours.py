"""Neighbouring chunks read as one passage: the stored text, exactly, with the sections and pages of all of it."""

import random
from dataclasses import replace
from uuid import UUID

import pytest
from psycopg import sql

from retrieval.access import Caller, caller
from retrieval.database.statements import TenantStatement
from retrieval.domain import LexicalPath
from retrieval.engine import Engine
from retrieval.reading import read_document
from retrieval.search.fusion import FusedPassage, fuse
from retrieval.search.legs import Hit, LexicalFindings
from retrieval.search.neighbours import MOST_JOINED, join_neighbours
from retrieval.search.terms import QuestionTerms

WORDLESS = LexicalFindings(
    terms=QuestionTerms(terms=(), weights="{}/1000000000", readings=()),
    lookups=(),
    hits=(),
    path=LexicalPath.NO_WORDS,
    postings=0,
)
ALL = TenantStatement(
    sql.SQL("""
SELECT chunks.document_id, chunks.ordinal, 0.5::float8 AS score
FROM chunks JOIN documents USING (tenant_id, document_id)
WHERE tenant_id = %(tenant_id)s AND acl && %(principals)s::text[]
ORDER BY document_id, ordinal
""")
)
WHO = caller("halden", ("group:engineering", "group:board", "group:production", "group:managers"))


@pytest.fixture(scope="module")
async def passages(engine: Engine) -> dict[UUID, list[FusedPassage]]:
    """Every chunk the caller may see, by document, in order."""
    async with engine.store.session(WHO) as session:
        hits = await session.rows(Hit, ALL)
    of: dict[UUID, list[FusedPassage]] = {}
    for each in sorted(await fuse(engine.store, WHO, None, hits, WORDLESS, None), key=lambda each: each.passage.key):
        of.setdefault(each.passage.key.document_id, []).append(each)
    assert any(len(chunks) > MOST_JOINED for chunks in of.values())
    assert any(chunks[0].passage.first_page for chunks in of.values())
    return of


async def test_a_joined_passage_is_the_stored_text(engine: Engine, passages: dict[UUID, list[FusedPassage]]) -> None:
    """Whichever chunks are found: their text is in the passages, which are slices of the document and do not overlap
    beyond what two chunks repeat; sections and pages are those of the chunks."""
    chance = random.Random(7)  # noqa: S311 - not a secret
    joined_any = False
    for document_id, chunks in passages.items():
        stored = await read_document(engine, WHO, document_id)
        found = chance.sample(chunks, chance.randint(1, len(chunks)))
        joined = await join_neighbours(engine.store, WHO, found, len(found))
        joined_any |= len(joined) < len(found)
        for each in joined:
            span = each.passage
            assert span.text == stored.text[span.char_start : span.char_end]
        for chunk in (each.passage for each in found):
            [span, *_] = [one.passage for one in joined if _covers(one, chunk.char_start, chunk.char_end)]
            for offset in range(chunk.char_start, chunk.char_end):
                assert span.headings_at(offset) == chunk.headings_at(offset)
                assert span.page_at(offset) == chunk.page_at(offset)
            assert (span.first_page is None) == (chunk.first_page is None)
            assert span.page_at(span.char_end - 1) == span.last_page
    assert joined_any


def _covers(found: FusedPassage, start: int, end: int) -> bool:
    return found.passage.char_start <= start and end <= found.passage.char_end


async def test_the_best_chunk_gives_the_place(engine: Engine, passages: dict[UUID, list[FusedPassage]]) -> None:
    """A joined passage stands where its best chunk stood, with that one's scores; further passages move up."""
    (long, *_), (other, *_) = sorted(passages.values(), key=len)[-1:], sorted(passages.values(), key=len)[:1]
    found = [long[2], other[0], long[1], long[4]]
    joined = await join_neighbours(engine.store, WHO, found, 3)
    assert [each.candidate for each in joined] == [long[2].candidate, other[0].candidate, long[4].candidate]
    assert joined[0].passage.char_start == long[1].passage.char_start
    assert joined[0].passage.char_end == long[2].passage.char_end


async def test_no_passage_grows_without_end(engine: Engine, passages: dict[UUID, list[FusedPassage]]) -> None:
    """At most so many chunks make one passage; what follows is the next."""
    long = max(passages.values(), key=len)
    joined = await join_neighbours(engine.store, WHO, long, len(long))
    assert len(joined) == -(-len(long) // MOST_JOINED)


async def test_what_changed_meanwhile_stays_apart(engine: Engine, passages: dict[UUID, list[FusedPassage]]) -> None:
    """Chunks of a version that is gone, or of a document one may no longer see, are not joined from what is there."""
    long = max(passages.values(), key=len)[:2]
    older = [replace(each, passage=replace(each.passage, version=each.passage.version + 1)) for each in long]
    assert await join_neighbours(engine.store, WHO, older, 8) == tuple(older)
    assert await join_neighbours(engine.store, Caller(tenant=WHO.tenant, principals=frozenset()), long, 8) == tuple(
        long
    )


async def test_nothing_found_is_nothing_joined(engine: Engine) -> None:
    """An empty search stays empty."""
    assert await join_neighbours(engine.store, WHO, [], 8) == ()
