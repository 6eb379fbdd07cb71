"""The search by words: BM25 as published, not empty-handed while a visible chunk holds a word, and bounded."""

import json
import math
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from uuid import UUID

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings, strategies

from ingest.sources import Request
from retrieval.access import Caller, caller
from retrieval.database.store import Store, open_store
from retrieval.domain import ChunkKey, LexicalPath
from retrieval.search import legs, terms
from retrieval.search.legs import LexicalFindings, lexical_leg
from retrieval.search.terms import MOST_TERMS, question_terms
from retrieval.searching import MAX_QUESTION_CHARS
from retrieval.settings import SearchSettings
from tests.conftest import ingest_folder, new_database, on_database
from tests.fakes import WordEmbedder
from tests.integration.test_search import URIS, Uri

WORDS = ("pump", "valve", "sensor", "gauge", "filter", "motor", "relay", "cable", "Ventil", "Dichtung")
MANY, FEW, GERMAN = "group:many", "group:few", "group:german"
LONE = ("albatross", "buzzard", "cormorant")
"""Each in one document, which group:many alone may see."""
ASKED = (*WORDS, *LONE, "N7", "N9", "the", "und", "unheard-of")


def made_up(at: int) -> tuple[str, str, str]:
    """Document number `at`: text, language, and the group that may see it. Some are German, a few for group:few."""
    word, other = WORDS[at % 7], WORDS[at * at % len(WORDS)]
    if at % 10 == 9:
        return f"Das {other} und die Dichtung am {word} sind geprüft. Code N{at}.", "de", GERMAN
    lone = LONE[at] if at < len(LONE) else ""
    return (
        f"The {word} and the {other} were checked. {word} again. Code N{at}. {lone}",
        "en",
        FEW if at % 25 == 5 else MANY,
    )


@dataclass(frozen=True, kw_only=True)
class Reference:
    """BM25 (Robertson & Zaragoza 2009) in plain Python over the words Postgres reads, one index per language."""

    connection: psycopg.Connection[tuple[object, ...]]
    chunks: dict[ChunkKey, tuple[str, str, Counter[int]]]
    """Language, group, words."""

    def scores(self, question: str, principals: set[str]) -> dict[ChunkKey, float]:
        """The visible chunks with a word of the question, as a share of what could be reached."""
        scores: dict[ChunkKey, float] = {}
        for language in ("en", "de"):
            words = {key: held for key, (spoken, _, held) in self.chunks.items() if spoken == language}
            frequency = Counter(word for held in words.values() for word in held)
            idf = {
                word: math.log1p((len(words) - frequency[word] + 0.5) / (frequency[word] + 0.5))
                for word in _words(self.connection, language, question)
            }
            for key, held in words.items():
                score = sum(idf[word] * _saturated(held, word) for word in idf)
                if score and self.chunks[key][1] in principals:
                    scores[key] = score / sum(idf.values())
        return scores


def _saturated(held: Counter[int], word: int) -> float:
    return held[word] / (held[word] + 1.2 * (0.25 + 0.75 * held.total() / 100))


def _words(connection: psycopg.Connection[tuple[object, ...]], language: str, text: str) -> Counter[int]:
    rows = connection.execute("SELECT term_key, frequency FROM pincite_terms('north', %s, %s)", [language, text])
    return Counter({int(str(word)): int(str(frequency)) for word, frequency in rows})


@pytest.fixture(scope="module")
def filled(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A tenant with 200 made-up documents in two languages, and another with the same that no question may meet."""
    for dsn in new_database(server):
        for tenant in ("north", "south"):
            folder = tmp_path_factory.mktemp(tenant)
            for at in range(200):
                (folder / f"{at}.txt").write_text(made_up(at)[0])
            entries = (
                {"path": f"{at}.txt", "language": made_up(at)[1], "allow": [made_up(at)[2]]} for at in range(200)
            )
            (folder / "manifest.jsonl").write_text("\n".join(map(json.dumps, entries)))
            ingest_folder(dsn, WordEmbedder(), tenant, Request(manifest=folder / "manifest.jsonl"))
        yield dsn


@pytest.fixture(scope="module")
async def store(filled: str) -> AsyncIterator[Store]:
    async with open_store(filled, on_database(filled).database) as opened:
        yield opened


@pytest.fixture(scope="module")
def reference(filled: str) -> Iterator[Reference]:
    query = """SELECT document_id, ordinal, language, acl[1], context || chr(10) || text
               FROM chunks JOIN documents USING (tenant_id, document_id) WHERE tenant_id = 'north'"""
    with psycopg.connect(filled, autocommit=True) as connection:
        chunks = {
            ChunkKey(document_id=UUID(str(document)), ordinal=int(str(ordinal))): (
                str(language),
                str(group),
                _words(connection, str(language), str(text)),
            )
            for document, ordinal, language, group, text in connection.execute(query).fetchall()
        }
        yield Reference(connection=connection, chunks=chunks)


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounds as small as the index, so that 200 chunks are many."""
    monkeypatch.setattr(terms, "POSTINGS_BOUND", 5)
    monkeypatch.setattr(terms, "WIDER_BOUND", 30)


async def asked(store: Store, who: Caller, question: str, **options: int) -> LexicalFindings:
    return await lexical_leg(store, who, question, SearchSettings().model_copy(update={"candidates": 1000, **options}))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    words=strategies.lists(strategies.sampled_from(ASKED), min_size=1, max_size=8),
    principals=strategies.sets(strategies.sampled_from((MANY, FEW, GERMAN))),
)
async def test_scores_are_bm25(store: Store, reference: Reference, words: list[str], principals: set[str]) -> None:
    """Every visible chunk with a word of the question is found, in every language, with the reference's score."""
    found = await asked(store, caller("north", principals), " ".join(words))
    expected = reference.scores(" ".join(words), principals)
    assert {hit.key: hit.score for hit in found.hits} == pytest.approx(expected, abs=2e-4)


@pytest.mark.usefixtures("narrow")
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    words=strategies.lists(strategies.sampled_from(ASKED), min_size=1, max_size=8),
    principals=strategies.sets(strategies.sampled_from((MANY, FEW, GERMAN))),
    exact_below=strategies.sampled_from((0, 50, 5000)),
)
async def test_never_empty_handed(
    store: Store, reference: Reference, words: list[str], principals: set[str], exact_below: int
) -> None:
    """However narrow the bounds: something is found where anything is there for the caller, all or enough of it where
    the caller may see little, and each with the reference's score."""
    found = await asked(store, caller("north", principals), " ".join(words), exact_below=exact_below)
    expected = reference.scores(" ".join(words), principals)
    scores = {hit.key: hit.score for hit in found.hits}
    assert bool(scores) == bool(expected)
    assert scores == pytest.approx({key: expected[key] for key in scores}, abs=2e-4)
    visible = sum(group in principals for _, group, _ in reference.chunks.values())
    if visible <= exact_below:
        assert len(scores) >= min(legs.ENOUGH, len(expected))


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize(("exact_below", "path"), [(50, LexicalPath.VISIBLE), (0, LexicalPath.WIDER)])
async def test_a_rare_word_in_unseen_documents_hides_nothing(store: Store, exact_below: int, path: LexicalPath) -> None:
    """Where the question's rarest word stands in documents of others only, its other words are looked up."""
    found = await asked(store, caller("north", [FEW]), "albatross pump", exact_below=exact_below)
    assert found.path is path
    assert found.hits


@pytest.mark.usefixtures("narrow")
async def test_words_that_stand_nowhere_together_are_found_apart(store: Store) -> None:
    """Where even the rarest word is common, chunks with both of the two rarest are wanted, but not insisted on."""
    found = await asked(store, caller("north", [MANY]), "sensor gauge", exact_below=0)
    assert found.path is LexicalPath.WIDER
    assert found.hits


async def test_enough_is_found_without_a_second_look(store: Store) -> None:
    """A question whose rarest words bring enough is looked up once."""
    assert (await asked(store, caller("north", [MANY]), "pump valve")).path is LexicalPath.RAREST


@pytest.mark.parametrize(
    "question", ["the", "The who?", "to be or not to be", "was the were", "🙂", "?!", "'", '"the"']
)
async def test_a_question_without_words_finds_nothing_and_says_so(store: Store, question: str) -> None:
    """Stop words, emoji and punctuation have nothing to look up; the plan tells."""
    with_one_language = caller("south", [MANY])
    found = await asked(store, with_one_language, question)
    assert found.hits == ()


async def test_the_plan_says_that_there_was_no_word(store: Store) -> None:
    """What is a stop word in every language of the tenant is not looked up."""
    found = await asked(store, caller("north", [MANY]), "was so in")
    assert (found.path, found.terms.words, found.hits) == (LexicalPath.NO_WORDS, 0, ())


async def test_an_unknown_word_is_a_word(store: Store) -> None:
    """That no chunk holds a word is not told from its being held by others': the path is the same."""
    nobodys = await asked(store, caller("north", [FEW]), "unicorn")
    others = await asked(store, caller("north", [FEW]), "albatross")
    assert nobodys.path == others.path
    assert nobodys.hits == others.hits == ()


async def test_the_work_for_a_long_question_is_bounded(store: Store) -> None:
    """A question of 2,000 characters looks up no more words at first than the bound, the rarest, and finds."""
    every = " ".join([*LONE, *WORDS, *(f"N{at}" for at in range(400))])[:MAX_QUESTION_CHARS]
    who = caller("north", [MANY])
    async with store.session(who) as session:
        read = await question_terms(session, every)
    assert read.words > 2 * MOST_TERMS
    for lookups in (read.rarest, read.wider):
        assert all(len(lookup.term_keys) <= MOST_TERMS for lookup in lookups)
    assert (await asked(store, who, every)).hits


@pytest.mark.parametrize(
    "question", ["'; DROP TABLE chunks; --", "%s %(tenant_id)s {}", "🙂 pump 🙂", "pump\\", "<pump>"]
)
async def test_questions_are_data(store: Store, question: str) -> None:
    """SQL, placeholders, markup and emoji in a question are text like any other."""
    found = await asked(store, caller("north", [MANY]), question)
    assert bool(found.hits) == ("pump" in question)


ENGLISH = "The valve of pump {at} was checked and its seal is dry. Code QH-{at}."
DEUTSCH = "Das Ventil der Pumpe {at} wurde geprüft und die Dichtung ist trocken. Code QH-{at}."
LATIN = "Valvula {at} bona est. The pump is here. Code QH-{at}."


@pytest.fixture(scope="module")
async def babel(server: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Store]:
    """A tenant with 30 English documents, 9 German ones, and 8 in a language that has no reading of its own."""
    for dsn in new_database(server):
        for language, text, count in (("en", ENGLISH, 30), ("de", DEUTSCH, 9), ("simple", LATIN, 8)):
            folder = tmp_path_factory.mktemp("babel")
            for at in range(count):
                (folder / f"{at}.txt").write_text(text.format(at=at))
            entries = ({"path": f"{at}.txt", "language": language, "allow": ["everyone"]} for at in range(count))
            (folder / "manifest.jsonl").write_text("\n".join(map(json.dumps, entries)))
            ingest_folder(dsn, WordEmbedder(), "babel", Request(manifest=folder / "manifest.jsonl", prefix=language))
        async with open_store(dsn, on_database(dsn).database) as opened:
            yield opened


@pytest.mark.parametrize(
    ("question", "first"),
    [
        ("Was the seal of pump 7 checked?", ["en/7.txt"]),
        ("Ist die Dichtung der Pumpe 7 geprüft?", ["de/7.txt"]),
        ("Estne valvula 7 bona?", ["simple/7.txt"]),
        ("When was the seal with code QH-23 checked?", ["en/23.txt"]),
        ("QH-7", ["de/7.txt", "en/7.txt", "simple/7.txt"]),
    ],
)
async def test_each_language_finds_its_own_first(babel: Store, question: str, first: list[str]) -> None:
    """A question finds what is written in its language first, however unequal the languages' shares of a tenant are
    and though words of it stand in the others too; and a code is found in all of them."""
    found = await asked(babel, caller("babel", ()), question)
    async with babel.session(caller("babel", ())) as session:
        uris = {row.document_id: row.uri for row in await session.rows(Uri, URIS)}
    assert sorted(uris[hit.document_id] for hit in found.hits[: len(first)]) == first
