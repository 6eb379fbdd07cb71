"""What a person sees who quotes, asks without words, or whose documents lie about in copies."""

from collections.abc import AsyncIterator, Iterator

import pytest

from ingest.sources import Request
from retrieval.access import caller
from retrieval.answering import answer
from retrieval.domain import AnswerFinished, Degradation, LexicalPath, Question, Retrieval
from retrieval.engine import Engine, open_engine
from retrieval.searching import explain, retrieve
from tests.conftest import ingest_folder, new_database, on_database
from tests.fakes import OverlapReranker, WordEmbedder

POLICY = (
    "Travel is booked at least a week ahead through the portal, and the cheapest reasonable fare is taken. "
    "Receipts are kept and handed in with the claim, which the manager of the traveller signs."
)
FILES = {
    "everyone/policy.txt": POLICY,
    "everyone/copy-of-policy.txt": POLICY,
    "everyone/old/policy.txt": POLICY.replace("a week", "5 days"),
    "everyone/pump.txt": "The emergency valve of the red pump is opened by hand. To be or not to be is not asked.",
    "everyone/valve.txt": "A valve for an emergency, a red pump, a hand, another valve, one more emergency valve set.",
    "everyone/long.txt": "\n\n".join(f"Chapter {at} tells how the turbine number {at} was oiled." for at in range(60)),
    **{f"everyone/circular/{at}.txt": "A circular on gaskets: each is replaced in spring." for at in range(50)},
    "everyone/gasket.txt": "The gasket of the oven is another matter: ask the kitchen.",
    "board/policy.txt": POLICY,
}


@pytest.fixture(scope="module")
def filled(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Copies, editions and quotable sentences; one copy for the board only."""
    folder = tmp_path_factory.mktemp("copies")
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    for dsn in new_database(server):
        for group, principal in (("everyone", "everyone"), ("board", "group:board")):
            request = Request(paths=(folder / group,), acl=frozenset({principal}))
            ingest_folder(dsn, WordEmbedder(), "acme", request)
        yield dsn


@pytest.fixture(scope="module")
async def engine(filled: str) -> AsyncIterator[Engine]:
    async with open_engine(on_database(filled), embedder=WordEmbedder()) as opened:
        yield opened


async def search(engine: Engine, text: str, *principals: str, limit: int = 8) -> Retrieval:
    return await retrieve(engine, Question(text=text, caller=caller("acme", principals), limit=limit))


def uris(found: Retrieval) -> list[str]:
    return [ranked.passage.uri for ranked in found.passages]


@pytest.mark.parametrize("marks", ['"{}"', "“{}”", "„{}“"])
async def test_a_quotation_comes_first(engine: Engine, marks: str) -> None:
    """The passage with these very words leads, though another holds each of them more often."""
    words = "emergency valve of the red pump"
    assert uris(await search(engine, words.replace("of the", "") + " valve emergency set"))[0] == "everyone/valve.txt"
    found = await search(engine, f"valve emergency set {marks.format(words)}")
    assert uris(found)[0] == "everyone/pump.txt"
    assert "everyone/valve.txt" in uris(found)


async def test_a_quotation_of_stop_words_is_found(engine: Engine) -> None:
    """Words that no index holds are still read in what was found."""
    found = await search(engine, 'Where does it say "to be or not to be"?')
    assert uris(found)[0] == "everyone/pump.txt"


async def test_a_quotation_that_nobody_holds_is_searched_as_words(engine: Engine) -> None:
    """The response is not empty for it."""
    assert uris(await search(engine, '"green valve of yesterday"'))


async def test_a_quotation_survives_the_reranker(filled: str) -> None:
    """However a reranker likes the others, the quotation still comes first."""
    async with open_engine(on_database(filled), embedder=WordEmbedder(), reranker=OverlapReranker()) as reranked:
        found = await search(reranked, 'a set, one more emergency valve "emergency valve of the red pump"')
    assert uris(found)[0] == "everyone/pump.txt"


async def test_stop_words_alone_are_searched_by_meaning(engine: Engine) -> None:
    """The explanation says that there was no word to look up, and the nearest passages come all the same."""
    explanation = await explain(engine, Question(text="to be or not to be", caller=caller("acme", ()), limit=8))
    found = explanation.retrieval
    assert explanation.lexical.path is LexicalPath.NO_WORDS
    assert found.passages
    assert all(ranked.candidate.lexical_rank is None for ranked in found.passages)


async def test_stop_words_without_an_embedder_find_nothing(filled: str) -> None:
    """With neither words nor meaning to go by, the answer is a clear refusal that says what is missing."""
    broken = WordEmbedder()
    async with open_engine(on_database(filled), embedder=broken) as engine:
        broken.broken = True
        question = Question(text="to be or not to be", caller=caller("acme", ()), limit=8)
        *_, last = [event async for event in answer(engine, question)]
    assert isinstance(last, AnswerFinished)
    assert (last.outcome, last.text) == ("refused", "")
    assert last.degraded == (Degradation.EMBEDDER_UNAVAILABLE,)


async def test_copies_make_room(engine: Engine) -> None:
    """A document's copy gives its place to another one and is named; an edition that differs in a number stays."""
    found = await search(engine, "How far ahead is travel booked through the portal?", limit=3)
    assert sorted(uris(found)[:2]) in (
        ["everyone/copy-of-policy.txt", "everyone/old/policy.txt"],
        ["everyone/old/policy.txt", "everyone/policy.txt"],
    )
    assert uris(found)[2] not in ("everyone/copy-of-policy.txt", "everyone/policy.txt")
    assert sum(len(ranked.duplicates) for ranked in found.passages) == 1


async def test_a_copy_one_may_not_see_is_not_named(engine: Engine) -> None:
    """The board's copy is told to the board only."""
    question = "How far ahead is travel booked through the portal?"
    for principals, copies in (((), 1), (("group:board",), 2)):
        found = await search(engine, question, *principals, limit=4)
        assert sum(len(ranked.duplicates) for ranked in found.passages) == copies


async def test_neighbours_are_one_passage(engine: Engine) -> None:
    """Chunks that follow each other come as one, and the places they leave go to others."""
    found = await search(engine, "turbine number 7 oiled chapter", limit=5)
    long = [ranked.passage for ranked in found.passages if ranked.passage.uri == "everyone/long.txt"]
    assert any(len(passage.text) > 400 for passage in long)
    assert [ranked.number for ranked in found.passages] == [1, 2, 3, 4, 5]
    text = FILES["everyone/long.txt"]
    assert all(passage.text == text[passage.char_start : passage.char_end] for passage in long)


@pytest.mark.parametrize("limit", [1, 2, 8, 20])
@pytest.mark.parametrize(
    "question",
    ["when are gaskets replaced", "how was turbine number 7 oiled", "emergency valve", '"red pump" valve', "travel by"],
)
async def test_reading_the_best_passages_finds_what_reading_all_does(filled: str, question: str, limit: int) -> None:
    """Texts are read of the best candidates only; the passages are those of all candidates, copies or not."""
    settings = on_database(filled)
    for reranker in (None, OverlapReranker()):
        async with open_engine(settings, embedder=WordEmbedder(), reranker=reranker) as engine:
            asked = Question(text=question, caller=caller("acme", ()), limit=limit)
            few, all_of_them = await retrieve(engine, asked), (await explain(engine, asked)).retrieval
            assert few.passages == all_of_them.passages
            assert few.confidence == all_of_them.confidence
            assert few.passages


async def test_copies_leave_room_for_what_else_there_is(engine: Engine) -> None:
    """Fifty copies before it, more than are read at first, do not hide what says something else."""
    found = uris(await search(engine, "a circular on gaskets: each is replaced in spring, gasket of the oven", limit=2))
    assert len(found) == 2
    assert "everyone/gasket.txt" in found
