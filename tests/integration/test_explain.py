"""An explanation is the search itself, told: its legs, its places, and what became of a named document."""

import json
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace

import numpy as np
import psycopg
import pytest
from pgvector.psycopg import register_vector

from ingest.sources import Request
from retrieval.access import caller
from retrieval.database.plans import QueryPlan
from retrieval.domain import DensePath, Question
from retrieval.engine import Engine, open_engine
from retrieval.models.protocols import Reranker
from retrieval.search import legs, planning, terms
from retrieval.search.explanation import DocumentExplained, LegReason, Verdict
from retrieval.search.whereabouts import whereabouts
from retrieval.searching import _search, explain, retrieve
from tests.conftest import ingest_folder, new_database, on_database
from tests.fakes import OverlapReranker, WordEmbedder

ADA = caller("north", ["group:a"])
PARTS = ("valve", "sensor", "gauge", "filter", "motor", "relay", "cable", "seal")
HIDDEN = "director.txt"
QUESTION = "Which pump has the relay 7?"


class ContraryReranker(OverlapReranker):
    """Puts last what has most words in common."""

    async def score(self, question: str, passages: Sequence[str]) -> list[float | None]:
        return [-(score or 0.0) for score in await super().score(question, passages)]


@pytest.fixture(scope="module")
def filled(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Forty documents about pumps and one about zebras for group a; one secret. All in English."""
    texts = {f"{at}.txt": f"The pump {at} has the {PARTS[at % len(PARTS)]} {at}." for at in range(40)}
    texts |= {"zebra.txt": "Zebras graze.", HIDDEN: "The pump of the director has a golden relay."}
    folder = tmp_path_factory.mktemp("pumps")
    for name, text in texts.items():
        (folder / name).write_text(text)
    entries = [
        {"path": name, "allow": ["group:hr" if name == HIDDEN else "group:a"], "language": "en"} for name in texts
    ]
    (folder / "manifest.jsonl").write_text("\n".join(map(json.dumps, entries)))
    for dsn in new_database(server):
        assert not ingest_folder(dsn, WordEmbedder(), "north", Request(manifest=folder / "manifest.jsonl")).failures
        yield dsn


@pytest.fixture
async def engine(filled: str) -> AsyncIterator[Engine]:
    async with open_engine(on_database(filled), embedder=WordEmbedder()) as opened:
        yield opened


def narrowed(engine: Engine, reranker: Reranker | None = None, **search: int) -> Engine:
    """The engine with other search settings, and a reranker whose word counts."""
    changed = engine.settings.search.model_copy(update=search)
    heavy = engine.settings.reranker.model_copy(update={"weight": 9.0})
    return replace(engine, settings=replace(engine.settings, search=changed, reranker=heavy), reranker=reranker)


def asked(text: str = QUESTION, limit: int = 5) -> Question:
    return Question(text=text, caller=ADA, limit=limit)


async def told(engine: Engine, name: str, question: Question | None = None) -> DocumentExplained:
    """What an explanation says of the document with this file name."""
    uri = next(uri for uri in await _uris(engine) if uri.endswith(f"/{name}"))
    document = (await explain(engine, question or asked(), uri)).document
    assert document is not None
    return document


async def _uris(engine: Engine) -> list[str]:
    assert engine.settings.database.database_url is not None
    with psycopg.connect(engine.settings.database.database_url.get_secret_value()) as connection:
        return [uri for (uri,) in connection.execute("SELECT uri FROM documents").fetchall()]


async def test_an_explanation_explains_the_passages_of_the_search(engine: Engine) -> None:
    """It finds what the search finds, in its order, and says each one's rank, score and place."""
    found, explanation = await retrieve(engine, asked()), await explain(engine, asked())
    assert explanation.retrieval.passages == found.passages
    assert [each.candidate for each in explanation.passages] == [each.candidate for each in found.passages]
    assert [each.place for each in explanation.passages] == [1, 2, 3, 4, 5]
    assert [each.fused_place for each in explanation.passages] == [1, 2, 3, 4, 5]
    assert explanation.document is None


async def test_it_says_how_the_reranker_moved_them(engine: Engine) -> None:
    """Both places and the reranker's score come with each passage."""
    explanation = await explain(narrowed(engine, ContraryReranker()), asked(limit=20))
    scores = [each.rerank_score for each in explanation.passages if each.rerank_score is not None]
    assert len(scores) == 20
    assert scores == sorted(scores, reverse=True)
    assert [each.fused_place for each in explanation.passages] != [each.place for each in explanation.passages]


async def test_the_words_are_told_as_written_with_their_weight(engine: Engine) -> None:
    """The rarest word weighs most; which were looked up is said; stop words are not among them."""
    lexical = (await explain(engine, asked("Which relays has the pump?"))).lexical
    words = {word.word: word for word in lexical.words}
    assert set(words) == {"relays", "pump"}
    assert words["relays"].idf > words["pump"].idf
    assert (words["relays"].chunk_count, words["pump"].chunk_count) == (6, 41)
    assert {word.looked_up for word in lexical.words} == {"any"}


async def test_common_words_beside_rare_ones_are_not_looked_up(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """They only add to the scores of what the others found; where all are common, all must be held."""
    for bound, looked_up in ((10, {"relay": "any", "pump": None}), (2, {"relay": "all", "pump": "all"})):
        monkeypatch.setattr(terms, "POSTINGS_BOUND", bound)
        lexical = (await explain(engine, asked("relay pump"))).lexical
        assert {word.word: word.looked_up for word in lexical.words} == looked_up
        assert lexical.examined.rows >= lexical.proposed


async def test_a_leg_says_what_it_read(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compared, every visible chunk was read; on a walk, no fewer than it proposed. Pages are what it cost."""
    exact = (await explain(engine, asked())).dense
    assert exact is not None
    assert (exact.plan.path, exact.plan.visible_chunks, exact.proposed) == (DensePath.EXACT, 41, 41)
    assert exact.examined.rows >= 41
    monkeypatch.setattr(planning, "WALK_COST", 0.0)
    walked = (await explain(narrowed(engine, candidates=5, exact_below=0), asked())).dense
    assert walked is not None
    assert (walked.plan.path, walked.proposed) == (DensePath.INDEX, 5)
    assert walked.examined.rows >= 5
    assert walked.examined.pages > 0


async def test_an_ordinary_search_explains_nothing(engine: Engine) -> None:
    """EXPLAIN runs statements once more: only for an explanation."""
    plans: list[QueryPlan] = []
    await retrieve(replace(engine, store=engine.store.examining(plans)), asked())
    assert plans  # the store that is asked for is what explains
    del plans[:]
    await retrieve(engine, asked())
    assert plans == []


async def test_without_an_embedder_only_the_words_are_explained(filled: str) -> None:
    """What did not happen is not explained."""
    embedder = WordEmbedder()
    embedder.broken = True
    async with open_engine(on_database(filled), embedder=embedder) as engine:
        explanation = await explain(engine, asked())
        document = await told(engine, "7.txt")
    assert explanation.dense is None
    assert (document.verdict, document.dense) == (Verdict.FOUND, None)


async def test_a_document_that_is_found_is_so_told(engine: Engine) -> None:
    """With its exact rank in both legs and the words it holds."""
    document = await told(engine, "7.txt", asked("pump 7 seal"))
    assert document.verdict is Verdict.FOUND
    assert document.dense is not None
    assert document.lexical is not None
    assert (document.dense.rank, document.dense.reason) == (1, LegReason.PROPOSED)
    assert (document.lexical.rank, document.lexical.reason) == (1, LegReason.PROPOSED)
    assert set(document.lexical.words) == {"pump", "7", "seal"}
    assert [each.place for each in document.candidates] == [1]


async def test_a_document_can_be_named_by_its_id(engine: Engine) -> None:
    """As passages and citations name it."""
    best = (await retrieve(engine, asked())).passages[0].passage
    document = (await explain(engine, asked(), str(best.key.document_id))).document
    assert document is not None
    assert document.verdict is Verdict.FOUND
    assert {each.uri for each in document.candidates} == {best.uri}


async def test_what_is_not_proposed_is_told_its_exact_ranks(engine: Engine, filled: str) -> None:
    """The rank by meaning is that of a plain comparison of all visible vectors."""
    document = await told(narrowed(engine, candidates=3), "zebra.txt")
    assert document.verdict is Verdict.NOT_PROPOSED
    assert document.dense is not None
    assert document.lexical is not None
    assert document.dense.reason is LegReason.BELOW_CANDIDATES
    assert document.lexical.reason is LegReason.NO_WORD
    assert (document.lexical.rank, document.lexical.words) == (None, ())
    question = await WordEmbedder().embed_question(QUESTION)
    with psycopg.connect(filled) as connection:
        register_vector(connection)
        rows = connection.execute(
            "SELECT uri LIKE '%%zebra.txt', embedding FROM embeddings JOIN documents USING (tenant_id, document_id)"
            " WHERE acl = '{group:a}'"
        ).fetchall()
    cosines = np.array([np.dot(vector.to_numpy(), question) for _, vector in rows])
    zebra = next(at for at, (found, _) in enumerate(rows) if found)
    assert document.dense.score == pytest.approx(cosines[zebra], abs=1e-3)
    assert document.dense.rank == 1 + int(np.sum(cosines > cosines[zebra]))


async def test_common_words_do_not_make_a_candidate(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A chunk that holds only words which are not looked up, or not all that are needed, is told so."""
    monkeypatch.setattr(legs, "ENOUGH", 2)
    for bound, reason in ((10, LegReason.NO_WORD_LOOKED_UP), (2, LegReason.NOT_ALL_WORDS)):
        monkeypatch.setattr(terms, "POSTINGS_BOUND", bound)
        monkeypatch.setattr(terms, "WIDER_BOUND", bound)
        document = await told(narrowed(engine, exact_below=0), "0.txt", asked("relay pump"))
        assert document.lexical is not None
        assert (document.lexical.reason, document.lexical.words) == (reason, ("pump",))


async def test_a_rank_below_the_candidates_is_told_by_words_too(engine: Engine) -> None:
    """Looked up, matching, and worse than as many as the leg proposes."""
    document = await told(narrowed(engine, candidates=2), "0.txt", asked("relay pump"))
    assert document.lexical is not None
    assert document.lexical.reason is LegReason.BELOW_CANDIDATES
    assert document.lexical.rank is not None
    assert document.lexical.rank > 2


async def test_what_the_walk_missed_is_told(engine: Engine) -> None:
    """Its exact rank is high enough and the walk did not bring it: the index is to blame."""
    trace = await _search(engine, asked(), whole=True)
    assert trace.dense is not None
    missed = replace(trace, dense=replace(trace.dense, hits=()), fused=(), ranked=())
    uri = trace.retrieval.passages[0].passage.uri
    settings = engine.settings.search
    document = await whereabouts(engine.store, asked(), uri, missed, settings, any_document=False)
    assert document.dense is not None
    assert document.dense.reason is LegReason.MISSED_BY_WALK


@pytest.mark.parametrize(
    ("reranker", "limit", "verdict"),
    [
        (None, 1, Verdict.CUT_BY_LIMIT),
        (ContraryReranker(), 5, Verdict.CUT_BY_RERANKER),
        (ContraryReranker(), 20, Verdict.CUT_BY_LIMIT),
    ],
)
async def test_what_was_cut_is_told_by_whom(
    engine: Engine, reranker: Reranker | None, limit: int, verdict: Verdict
) -> None:
    """By the limit, where others were better before; by the reranker, where it alone put them first."""
    names = {Verdict.CUT_BY_RERANKER: "7.txt", Verdict.CUT_BY_LIMIT: "zebra.txt"}
    document = await told(narrowed(engine, reranker), names[verdict], asked("pump 7 seal", limit))
    assert document.verdict is verdict
    [candidate] = document.candidates
    assert candidate.place > limit
    assert (candidate.fused_place <= limit) == (verdict is Verdict.CUT_BY_RERANKER)


async def test_an_invisible_document_is_not_there_unless_one_may_know(engine: Engine) -> None:
    """To an operator it is not visible; to anyone else it is as absent as one that never was."""
    secret = next(uri for uri in await _uris(engine) if uri.endswith(HIDDEN))
    verdicts = {
        (named == secret, may_know): (await explain(engine, asked(), named, any_document=may_know)).document
        for named in (secret, "nowhere.txt")
        for may_know in (True, False)
    }
    assert {key: found and found.verdict for key, found in verdicts.items()} == {
        (True, True): Verdict.NOT_VISIBLE,
        (True, False): Verdict.NOT_FOUND,
        (False, True): Verdict.NOT_FOUND,
        (False, False): Verdict.NOT_FOUND,
    }
    hidden, absent = verdicts[True, False], verdicts[False, False]
    assert hidden is not None
    assert absent is not None
    assert replace(hidden, named="") == replace(absent, named="")


def test_rows_are_counted_over_loops() -> None:
    """EXPLAIN tells rows per loop, of each table apart."""
    inner = {"Relation Name": "embeddings", "Actual Rows": 2.5, "Actual Loops": 4}
    other = {"Relation Name": "documents", "Actual Rows": 7, "Actual Loops": 1}
    root = {"Actual Rows": 1, "Actual Loops": 1, "Shared Hit Blocks": 3, "Shared Read Blocks": 4}
    plan = QueryPlan(root | {"Plans": [{"Plans": [inner, other], "Actual Rows": 1, "Actual Loops": 1}]})
    assert (plan.rows_read("embeddings"), plan.rows_read("documents"), plan.rows_read("chunks")) == (10, 7, 0)
    assert plan.pages_read == 7
