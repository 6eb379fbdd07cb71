"""Passages grown by what stands around them: the stored text, exactly, and never more than may be seen or fits."""

import random
from dataclasses import replace
from uuid import UUID

import pytest

from retrieval.access import Caller, caller
from retrieval.domain import Question, Surroundings
from retrieval.engine import Engine
from retrieval.generation.packing import count_tokens, pack
from retrieval.reading import read_document
from retrieval.search.fusion import FusedPassage, fuse
from retrieval.search.legs import Hit
from retrieval.search.narrowing import ANYTHING
from retrieval.search.neighbours import join_neighbours
from retrieval.search.surroundings import with_surroundings
from retrieval.searching import retrieve
from tests.integration.test_neighbours import ALL, WHO, WORDLESS

PLENTY = 100_000
GROWN = [Surroundings.NEIGHBOURS, Surroundings.SECTION]


@pytest.fixture(scope="module")
async def chunks(engine: Engine) -> list[FusedPassage]:
    """Every chunk the caller may see, in order."""
    async with engine.store.session(WHO) as session:
        hits = await session.rows(Hit, ALL)
    found = await fuse(engine.store, WHO, None, hits, WORDLESS, None)
    return sorted(found, key=lambda each: each.passage.key)


def long_document(chunks: list[FusedPassage]) -> list[FusedPassage]:
    """The chunks of the document that has most."""
    of: dict[UUID, list[FusedPassage]] = {}
    for each in chunks:
        of.setdefault(each.passage.key.document_id, []).append(each)
    return max(of.values(), key=len)


async def grown(
    engine: Engine, found: list[FusedPassage], wanted: Surroundings, room: int = PLENTY, who: Caller = WHO
) -> list[FusedPassage]:
    return [*await with_surroundings(engine.store, who, found, wanted, ANYTHING, room, count_tokens)]


@pytest.mark.parametrize("wanted", GROWN)
async def test_a_grown_passage_is_the_stored_text(
    engine: Engine, chunks: list[FusedPassage], wanted: Surroundings
) -> None:
    """Whatever is found: each passage holds its old text and is a slice of the document, no two share more than
    before, and headings and pages of every place in it are those of the chunk that it is from."""
    chance = random.Random(11)  # noqa: S311 - not a secret
    longer = 0
    for _ in range(3):
        found = [*await join_neighbours(engine.store, WHO, chance.sample(chunks, 12), 12)]
        result = await grown(engine, found, wanted)
        assert [each.candidate for each in result] == [each.candidate for each in found]
        for before, after in zip(found, result, strict=True):
            was, now = before.passage, after.passage
            stored = await read_document(engine, WHO, now.key.document_id)
            assert now.text == stored.text[now.char_start : now.char_end]
            assert now.char_start <= was.char_start
            assert was.char_end <= now.char_end
            longer += now != was
            for one in (each.passage for each in chunks if each.passage.key.document_id == now.key.document_id):
                for offset in range(max(one.char_start, now.char_start), min(one.char_end, now.char_end), 7):
                    assert (now.headings_at(offset), now.page_at(offset)) == (
                        one.headings_at(offset),
                        one.page_at(offset),
                    )
        assert shared(result) <= shared(found)
    assert longer or wanted is Surroundings.SECTION  # the sample's sections are short


def shared(found: list[FusedPassage]) -> int:
    """Characters that are in two passages."""
    spans = [(each.passage.key.document_id, each.passage.char_start, each.passage.char_end) for each in found]
    return sum(
        max(0, min(one[2], other[2]) - max(one[1], other[1]))
        for at, one in enumerate(spans)
        for other in spans[at + 1 :]
        if one[0] == other[0]
    )


async def test_neighbours_are_the_next_chunk_at_either_end(engine: Engine, chunks: list[FusedPassage]) -> None:
    """One before and one after; at the document's ends there is only one of them."""
    document = [each.passage for each in long_document(chunks)]
    for at, expected in ((2, (1, 3)), (0, (0, 1)), (len(document) - 1, (-2, -1))):
        [whole] = await grown(engine, [long_document(chunks)[at]], Surroundings.NEIGHBOURS)
        assert whole.passage.char_start == document[expected[0]].char_start
        assert whole.passage.char_end == document[expected[1]].char_end


async def test_what_is_grown_fits_beside_all_that_was_found(engine: Engine, chunks: list[FusedPassage]) -> None:
    """However little room there is, no more is added than fits; the best passage grows first."""
    found = chunks[:40:8]
    before = sum(count_tokens(each.passage.text) for each in found)
    sizes = []
    for room in (0, 100, 300, 600, 1200):
        result = await grown(engine, found, Surroundings.NEIGHBOURS, room)
        sizes.append(sum(count_tokens(each.passage.text) for each in result) - before)
        # What joins two chunks may be a token or two.
        assert sizes[-1] <= room + 3 * len(found) * bool(room)
    assert sizes[0] == 0
    assert sizes == sorted(sizes)
    assert sizes[-1] > 300


async def test_nothing_is_added_that_may_not_be_seen(engine: Engine, chunks: list[FusedPassage]) -> None:
    """Passages of another version, and of documents one may no longer see, stay as they were found."""
    some = long_document(chunks)[2:3]
    older = [replace(each, passage=replace(each.passage, version=each.passage.version + 1)) for each in some]
    assert await grown(engine, older, Surroundings.SECTION) == older
    nobody = Caller(tenant=WHO.tenant, principals=frozenset())
    assert await grown(engine, some, Surroundings.SECTION, who=nobody) == some
    stranger = caller("brightwater", tuple(WHO.principals))
    assert await grown(engine, some, Surroundings.SECTION, who=stranger) == some


async def test_a_search_gives_no_passage_up_for_it(engine: Engine) -> None:
    """The same passages in the same order, some longer; all that was put before the model still is."""
    asked = Question(text="How long is parental leave?", caller=WHO, limit=4)
    plain = (await retrieve(engine, asked)).passages
    found = await retrieve(engine, replace(asked, surroundings=Surroundings.NEIGHBOURS))
    assert [each.candidate for each in found.passages] == [each.candidate for each in plain]
    assert any(
        len(one.passage.text) > len(other.passage.text) for one, other in zip(found.passages, plain, strict=True)
    )
    limit = engine.settings.llm.max_context_tokens
    assert len(pack(found.passages, limit)) >= len(pack(plain, limit))
    assert "surround" in found.timings_ms
