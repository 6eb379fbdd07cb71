"""What is cut keeps its meaning: rows are found and shown with their table's header, items with their lead-in."""

from pathlib import Path

from ingest.sources import Request
from retrieval.access import caller
from retrieval.domain import Question, RankedPassage
from retrieval.engine import Engine, open_engine
from retrieval.generation.prompting import build_prompt
from retrieval.reading import read_document
from retrieval.searching import retrieve
from tests.conftest import ingest_folder, on_database
from tests.fakes import WordEmbedder

WHO = caller("acme", ())
ROWS = "".join(f"| depot-{n:02} | {n + 100} kg |\n" for n in range(40))
TABLE = f"# Depots\n\n| Depot | Heaviest parcel |\n|---|---|\n{ROWS}"


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
