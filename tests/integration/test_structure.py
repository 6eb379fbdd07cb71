"""What is cut keeps its meaning: rows are found and shown with their table's header, items with their lead-in."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from ingest.sources import Request
from retrieval.access import caller
from retrieval.domain import Question, RankedPassage, Surroundings
from retrieval.engine import Engine, open_engine
from retrieval.filter_json import parse_filter
from retrieval.generation.prompting import build_prompt
from retrieval.reading import read_document
from retrieval.searching import retrieve
from tests.conftest import ingest_folder, on_database
from tests.fakes import WordEmbedder

WHO = caller("acme", ())
ROWS = "".join(f"| depot-{n:02} | {n + 100} kg |\n" for n in range(40))
TABLE = f"# Depots\n\n| Depot | Heaviest parcel |\n|---|---|\n{ROWS}"


SECTIONS = "".join(
    f"# {name}\n\n" + "".join(f"The {name.lower()} pump number {n} is oiled on day {n}. " for n in range(30)) + "\n\n"
    for name in ("Alpha", "Beta", "Gamma")
)


async def found(engine: Engine, text: str, limit: int = 1) -> tuple[RankedPassage, ...]:
    return (await retrieve(engine, Question(text=text, caller=WHO, limit=limit))).passages


async def test_a_row_is_found_and_shown_with_its_header(dsn: str, tmp_path: Path, words: WordEmbedder) -> None:
    """A row far down a long table is found by the header's words too; the header goes to the model beside the text,
    which is the document's at exactly this span."""
    (tmp_path / "depots.md").write_text(TABLE)
    ingest_folder(dsn, words, "acme", Request(paths=(tmp_path,), acl=frozenset({"everyone"})))
    async with open_engine(on_database(dsn), embedder=words) as engine:
        [best] = await found(engine, "heaviest parcel depot-37")
        by_header = await found(engine, "parcel", limit=3)
        stored = await read_document(engine, WHO, best.passage.key.document_id)
    passage = best.passage
    assert "depot-37" in passage.text
    assert "parcel" not in passage.text
    assert all(each.candidate.bm25 > 0 for each in by_header)
    assert any("parcel" not in each.passage.text for each in by_header)
    assert passage.text == stored.text[passage.char_start : passage.char_end]
    assert passage.lead == "| Depot | Heaviest parcel |"
    assert f'goes_on_from="{passage.lead}">\n{passage.text}' in build_prompt("?", [best]).user


@pytest.fixture
async def sections(dsn: str, tmp_path: Path, words: WordEmbedder) -> AsyncIterator[Engine]:
    """An engine over a document of three sections, each of many chunks."""
    (tmp_path / "pumps.md").write_text(SECTIONS)
    ingest_folder(dsn, words, "acme", Request(paths=(tmp_path,), acl=frozenset({"everyone"})))
    async with open_engine(on_database(dsn), embedder=words) as engine:
        yield engine


def asked(wanted: Surroundings, section: str | None = None) -> Question:
    return Question(
        text="When is the beta pump number 12 oiled?",
        caller=WHO,
        limit=1,
        surroundings=wanted,
        filter=parse_filter(f'{{"field": "section", "prefix": "{section}"}}') if section else None,
    )


async def test_a_section_is_given_whole(sections: Engine) -> None:
    """From its heading to its last sentence, and nothing of the sections beside it."""
    [whole] = (await retrieve(sections, asked(Surroundings.SECTION))).passages
    beta = SECTIONS[SECTIONS.index("# Beta") : SECTIONS.index("# Gamma")]
    assert whole.passage.text == beta.strip()


async def test_growing_ends_where_the_filter_no_longer_matches(sections: Engine) -> None:
    """What a filter leaves out is not given with what matches either."""
    question = replace(asked(Surroundings.NEIGHBOURS, "Beta"), text="When is the beta pump number 0 oiled?")
    [whole] = (await retrieve(sections, question)).passages
    assert whole.passage.text.startswith("# Beta")
    [wider] = (await retrieve(sections, replace(question, filter=None))).passages
    assert wider.passage.text.startswith("The alpha pump")
