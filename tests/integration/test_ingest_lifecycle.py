"""What a run changes, keeps and removes when documents, owners, models and other runs change around it."""

import json
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import psycopg
import pytest
from psycopg import sql

from ingest import pipeline
from ingest.domain import Failure, IngestReport
from ingest.examining import Parsed, Unchanged, examine
from ingest.indexing import build_vector_index, claim_generation
from ingest.pipeline import ingest
from ingest.sources import Request, select
from retrieval.access import caller, tenant_id
from retrieval.domain import Passage, Question
from retrieval.engine import open_engine
from retrieval.errors import EmbedderUnavailable, InputError
from retrieval.models.protocols import Vectors
from retrieval.search.planning import vector_index_name
from retrieval.searching import retrieve
from tests.conftest import ingest_folder, on_database, run_of
from tests.fakes import TouchyEmbedder, WordEmbedder
from tests.integration.test_ingest import counted_right
from tests.unit.test_parsing_formats import make_pdf

EVERYONE = frozenset({"everyone"})
INDEX = vector_index_name(tenant_id("acme"))


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    """Two small documents."""
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "pump.md").write_text("# Pumps\n\nThe red pump needs oil every week.\n")
    (docs / "leave.txt").write_text("Vacation is 25 days a year. It must be taken by March.")
    return docs


def pruned(dsn: str, embedder: WordEmbedder, request: Request, *, tenant: str = "acme") -> IngestReport:
    """A run with --prune."""
    run = run_of(dsn, embedder, tenant, prune=True)
    return ingest(run, select(request))


def column(dsn: str, name: str) -> dict[str, object]:
    """One column of the tenant `acme`'s documents, by uri."""
    with psycopg.connect(dsn) as connection:
        rows = connection.execute(f"SELECT uri, {name} FROM documents WHERE tenant_id = 'acme' ORDER BY uri")  # noqa: S608
        return {str(uri): value for uri, value in rows.fetchall()}


def listed(docs: Path, *entries: dict[str, object], name: str = "manifest.jsonl") -> Request:
    """A request for what a manifest in the folder lists."""
    (docs / name).write_text("\n".join(map(json.dumps, entries)))
    return Request(manifest=docs / name, acl=EVERYONE)


def test_a_bare_folder_prunes_nothing(dsn: str, docs: Path, words: WordEmbedder) -> None:
    """A folder without a single document may be a disk that is not mounted: the run is refused before it begins."""
    other = docs.parent / "other"
    other.mkdir()
    (other / "gauge.txt").write_text("A gauge shows pressure.")
    ingest_folder(dsn, words, "acme", Request(paths=(docs, other), acl=EVERYONE))
    for file in docs.iterdir():
        file.unlink()
    (docs / "lost+found").mkdir()
    (other / "valve.txt").write_text("A valve closes.")
    for paths in ((docs,), (docs, other), (other, docs)):
        with pytest.raises(InputError, match=f"{docs}: nothing is pruned"):
            pruned(dsn, words, Request(paths=paths, acl=EVERYONE))
    assert list(column(dsn, "version")) == ["docs/leave.txt", "docs/pump.md", "other/gauge.txt"]
    assert pruned(dsn, words, Request(paths=(other,), acl=EVERYONE)).removed == ()


def test_a_manifest_prunes_no_file_that_is_still_there(dsn: str, docs: Path, words: WordEmbedder) -> None:
    """What another manifest lists, or none, stays while its file does; what is gone goes once it is unlisted."""
    (docs / "re\u0301sume\u0301.md").write_text("# Ada\n\nShe built pumps.\n")  # on disk with its accents apart
    entries: list[dict[str, object]] = [{"path": "pump.md"}, {"path": "leave.txt"}, {"path": "r\u00e9sum\u00e9.md"}]
    assert len(ingest_folder(dsn, words, "acme", listed(docs, *entries)).indexed) == 3

    assert pruned(dsn, words, listed(docs, {"path": "pump.md"}, name="other.jsonl")).removed == ()
    (docs / "leave.txt").unlink()
    report = pruned(dsn, words, listed(docs, *entries))
    assert (report.removed, [failure.reason for failure in report.failures]) == ((), ["not_found"])
    report = pruned(dsn, words, listed(docs, {"path": "pump.md"}, name="other.jsonl"))
    assert report.removed == ("docs/leave.txt",)
    assert list(column(dsn, "version")) == ["docs/pump.md", "docs/r\u00e9sum\u00e9.md"]


def test_a_document_that_no_longer_parses_is_not_pruned(dsn: str, docs: Path, words: WordEmbedder) -> None:
    """A file that became unreadable, lost its permissions or is refused is still at the source: its last text stays."""
    ingest_folder(dsn, words, "acme", Request(paths=(docs,), acl=EVERYONE))
    (docs / "pump.md").write_bytes(b"\x00" * 4096)
    (docs / "leave.txt").write_text("An unspeakable word.")
    report = pruned(dsn, TouchyEmbedder(), Request(paths=(docs,), acl=EVERYONE))
    assert {failure.reason for failure in report.failures} == {"binary", "refused_by_embedder"}
    assert [failure.reason for failure in pruned(dsn, words, Request(paths=(docs,))).failures] == ["no_acl"] * 2
    assert column(dsn, "version") == {"docs/leave.txt": 1, "docs/pump.md": 1}
    counted_right(dsn)


def test_prune_keeps_to_its_folder_and_its_tenant(dsn: str, docs: Path, words: WordEmbedder) -> None:
    """Folders whose names begin alike, the same folder under a prefix, and other tenants lose nothing."""
    alike = docs.parent / "docs-old"
    alike.mkdir()
    (alike / "leave.txt").write_text("Vacation was 20 days.")
    ingest_folder(dsn, words, "acme", Request(paths=(docs, alike), acl=EVERYONE))
    ingest_folder(dsn, words, "acme", Request(paths=(docs,), acl=EVERYONE, prefix="archive/docs"))
    ingest_folder(dsn, words, "globex", Request(paths=(docs,), acl=EVERYONE))
    (docs / "leave.txt").unlink()

    assert pruned(dsn, words, Request(paths=(docs / "pump.md",), acl=EVERYONE)).removed == ()
    assert pruned(dsn, words, Request(paths=(docs,), acl=EVERYONE)).removed == ("docs/leave.txt",)
    assert list(column(dsn, "version")) == [
        "archive/docs/leave.txt",
        "archive/docs/pump.md",
        "docs-old/leave.txt",
        "docs/pump.md",
        "pump.md",
    ]
    archive = Request(paths=(docs,), acl=EVERYONE, prefix="archive/docs")
    assert pruned(dsn, words, archive).removed == ("archive/docs/leave.txt",)
    assert pruned(dsn, words, Request(paths=(docs,), acl=EVERYONE), tenant="globex").removed == ("docs/leave.txt",)


def test_a_revocation_waits_for_no_parser_and_no_model(dsn: str, docs: Path, words: WordEmbedder) -> None:
    """Permissions are taken away before any file is read and any model asked, even where the text then cannot be read.

    Nobody new is let in to the old text, and its metadata stays with it.
    """
    ingest_folder(dsn, words, "acme", Request(paths=(docs,), acl=frozenset({"group:eng", "group:ops"})))
    (docs / "pump.md").write_bytes(b"\x00" * 4096)
    (docs / "leave.txt").write_text("Vacation is 30 days a year.")
    words.broken = True
    narrower = Request(paths=(docs,), acl=frozenset({"group:eng", "group:all"}), metadata={"year": 2026})
    with pytest.raises(EmbedderUnavailable):
        ingest_folder(dsn, words, "acme", narrower)
    assert list(column(dsn, "acl").values()) == [["group:eng"]] * 2
    assert list(column(dsn, "metadata").values()) == [{}] * 2
    assert column(dsn, "version") == {"docs/leave.txt": 1, "docs/pump.md": 1}


def test_a_wider_audience_never_sees_the_old_text(dsn: str, docs: Path, words: WordEmbedder) -> None:
    """A document rewritten and opened to others keeps its old readers while the new text cannot be stored."""
    ingest_folder(dsn, words, "acme", Request(paths=(docs,), acl=frozenset({"group:board"})))
    (docs / "pump.md").write_text("")
    report = ingest_folder(dsn, words, "acme", Request(paths=(docs,), acl=EVERYONE))
    assert [failure.uri for failure in report.failures] == ["docs/pump.md"]
    assert column(dsn, "acl") == {"docs/leave.txt": ["everyone"], "docs/pump.md": ["nobody"]}
    (docs / "pump.md").write_text("# Pumps\n\nThe red pump is gone.\n")
    ingest_folder(dsn, words, "acme", Request(paths=(docs,), acl=EVERYONE))
    assert column(dsn, "acl")["docs/pump.md"] == ["everyone"]


def test_a_change_of_type_in_the_metadata_is_a_change(dsn: str, docs: Path, words: WordEmbedder) -> None:
    """1 is not true, although Python calls them equal."""
    ingest_folder(dsn, words, "acme", Request(paths=(docs,), acl=EVERYONE, metadata={"final": 1}))
    report = ingest_folder(dsn, words, "acme", Request(paths=(docs,), acl=EVERYONE, metadata={"final": True}))
    assert len(report.updated) == 2
    assert column(dsn, "metadata")["docs/pump.md"] == {"final": True}


def test_another_manifests_uri_is_not_pruned(dsn: str, docs: Path, words: WordEmbedder) -> None:
    """A document under a uri of its own choice belongs to the manifest that chose it."""
    ingest_folder(dsn, words, "acme", listed(docs, {"path": "pump.md", "uri": "docs/the-pump"}))
    report = pruned(dsn, words, listed(docs, {"path": "leave.txt"}, name="other.jsonl"))
    assert report.removed == ()
    assert set(column(dsn, "version")) == {"docs/leave.txt", "docs/the-pump"}


@pytest.mark.parametrize(
    ("entry", "changed", "value"),
    [
        ({"path": "note.md"}, "content_type", "text/markdown"),
        ({"path": "memo.txt"}, "title", "memo"),
        ({"path": "note.txt", "title": "Oil"}, "title", "Oil"),
        ({"path": "note.txt", "language": "de"}, "language", "de"),
    ],
    ids=["suffix", "name", "title", "language"],
)
def test_what_shapes_the_text_makes_it_anew(
    dsn: str, docs: Path, words: WordEmbedder, entry: dict[str, object], changed: str, value: str
) -> None:
    """The same bytes under another name, title or language are indexed again, once; the document keeps its uri."""
    for name in ("note.txt", "note.md", "memo.txt"):
        (docs / name).write_text("the pump needs oil, and so do the valves beside it, every week of the year.")
    before = listed(docs, {"path": "note.txt", "uri": "docs/note"})
    ingest_folder(dsn, words, "acme", before)
    assert column(dsn, changed) != {"docs/note": value}
    after = listed(docs, {"uri": "docs/note", **entry})
    assert ingest_folder(dsn, words, "acme", after).indexed == ("docs/note",)
    assert column(dsn, changed) == {"docs/note": value}
    assert ingest_folder(dsn, words, "acme", after).unchanged == ("docs/note",)
    counted_right(dsn)


def test_a_text_the_embedder_refuses_costs_its_own_document_only(dsn: str, docs: Path) -> None:
    """One refused text among documents embedded together is one failure; the others are indexed, each with its own."""
    (docs / "middle.md").write_text("# Middle\n\nAn unspeakable word.\n")
    embedder = TouchyEmbedder()
    report = ingest_folder(dsn, embedder, "acme", Request(paths=(docs,), acl=EVERYONE))
    assert [(failure.uri, failure.reason) for failure in report.failures] == [("docs/middle.md", "refused_by_embedder")]
    assert sorted(report.indexed) == ["docs/leave.txt", "docs/pump.md"]
    with psycopg.connect(dsn) as connection:
        rows = connection.execute(
            "SELECT chunks.context || E'\\n' || chunks.text, embeddings.embedding::text FROM chunks"
            " JOIN embeddings USING (tenant_id, document_id, ordinal)"
        ).fetchall()
    assert len(rows) == 2
    for text, stored in rows:
        assert json.loads(stored) == pytest.approx(embedder.embed_documents([text])[0].tolist(), abs=1e-3)


def test_an_embedder_that_dies_midway_costs_no_stored_document(dsn: str, docs: Path, words: WordEmbedder) -> None:
    """What was embedded before stays, whole; nothing is pruned; the next run does only the rest."""
    ingest_folder(dsn, words, "acme", Request(paths=(docs,), acl=EVERYONE))
    (docs / "leave.txt").unlink()
    # More chunks than are embedded together.
    (docs / "a.md").write_text("".join(f"# Valve {at}\n\n{'It was opened. ' * 15}\n\n" for at in range(260)))
    (docs / "b.md").write_text("# Last\n\nA fatal word.\n")
    with pytest.raises(EmbedderUnavailable):
        pruned(dsn, TouchyEmbedder(), Request(paths=(docs,), acl=EVERYONE))
    assert list(column(dsn, "version")) == ["docs/a.md", "docs/leave.txt", "docs/pump.md"]
    counted_right(dsn)
    report = pruned(dsn, words, Request(paths=(docs,), acl=EVERYONE))
    assert (report.indexed, report.removed) == (("docs/b.md",), ("docs/leave.txt",))


@pytest.mark.parametrize("error", [EmbedderUnavailable("broken on purpose"), KeyboardInterrupt()], ids=repr)
def test_a_run_that_fails_reads_no_more_files(
    dsn: str, docs: Path, words: WordEmbedder, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    """Neither an error nor Ctrl-C waits until the unchanged rest of the files is read."""
    for number in range(300):
        (docs / f"same-{number:03}.txt").write_text(f"Rule {number}.")
    ingest_folder(dsn, words, "acme", Request(paths=(docs,), acl=EVERYONE))
    (docs / "leave.txt").write_text("Vacation is 26 days a year.")
    failed, read_after = Event(), list[object]()

    class Failing(WordEmbedder):
        def embed_documents(self, texts: Sequence[str]) -> Vectors:  # noqa: ARG002 - it reads none
            failed.set()
            raise error

    def slowly(*given: Any) -> Iterator[Unchanged | Parsed | Failure]:
        for found in examine(*given):
            if isinstance(found, Unchanged):
                failed.wait(30)
                read_after.append(found)
                time.sleep(0.01)
            yield found

    monkeypatch.setattr(pipeline, "examine", slowly)
    monkeypatch.setattr(pipeline, "_BATCH_CHUNKS", 1)
    with pytest.raises(type(error)):
        ingest_folder(dsn, Failing(), "acme", Request(paths=(docs,), acl=EVERYONE))
    assert 1 <= len(read_after) < 100


def test_runs_that_end_at_once_make_one_vector_index(dsn: str, docs: Path, words: WordEmbedder) -> None:
    """All want to build: one does, the others wait for it, without holding up the snapshots the build waits for."""
    for at in range(30):
        (docs / f"{at}.md").write_text(f"# Valve {at}\n\nValve {at} was opened.\n")
    ingest_folder(dsn, words, "acme", Request(paths=(docs,), acl=EVERYONE))
    profile = claim_generation(dsn, words)
    with ThreadPoolExecutor(3) as threads:
        for _ in range(3):
            with psycopg.connect(dsn, autocommit=True) as connection:
                connection.execute(sql.SQL("DROP INDEX {}").format(sql.Identifier(INDEX)))
            built = list(threads.map(lambda _: build_vector_index(dsn, tenant_id("acme"), profile, 0), range(3)))
            assert sorted(built) == [False, False, True]
            assert vector_indexes(dsn) == [(INDEX, True)]


def test_a_ruined_vector_index_is_built_anew(dsn: str, docs: Path, words: WordEmbedder) -> None:
    """A run waits for the builder at work; when that one died over it, it builds the index itself."""
    ingest_folder(dsn, words, "acme", Request(paths=(docs,), acl=EVERYONE))
    with ThreadPoolExecutor(1) as thread, psycopg.connect(dsn, autocommit=True) as dying:
        dying.execute("SELECT pg_advisory_lock(hashtextextended('pincite::vector-index', 0))")
        dying.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = %s::regclass", [INDEX])
        run = thread.submit(ingest_folder, dsn, words, "acme", Request(paths=(docs,), acl=EVERYONE))
        patience = time.monotonic() + 30
        while not waiting_builders(dying) and not run.done() and time.monotonic() < patience:
            time.sleep(0.1)
        assert waiting_builders(dying) == 1
        dying.close()
        assert len(run.result(timeout=60).unchanged) == 2
    assert vector_indexes(dsn) == [(INDEX, True)]


def waiting_builders(connection: psycopg.Connection[tuple[object, ...]]) -> object:
    """How many sessions were refused the builders' lock, and hold no snapshot while they wait."""
    row = connection.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle'"
        " AND backend_xmin IS NULL AND query LIKE '%pg_try_advisory_lock%'"
    ).fetchone()
    assert row is not None
    return row[0]


def vector_indexes(dsn: str) -> list[tuple[str, bool]]:
    """Every HNSW index, and whether it may be used."""
    with psycopg.connect(dsn) as connection:
        return connection.execute(
            "SELECT relname::text, indisvalid FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid"
            " JOIN pg_am ON pg_am.oid = relam WHERE amname = 'hnsw'"
        ).fetchall()


async def passage_on(dsn: str, words: WordEmbedder, text: str) -> Passage:
    async with open_engine(on_database(dsn), embedder=words) as engine:
        found = await retrieve(engine, Question(text=text, caller=caller("acme", ()), limit=1))
    return found.passages[0].passage


async def test_a_passage_knows_the_headings_over_each_word(dsn: str, docs: Path, words: WordEmbedder) -> None:
    """Of a passage that reaches over two sections, each half stands under its own headings."""
    (docs / "oil.md").write_text("# Oil\n\nBuy it.\n\n## Summer\n\nThin oil flows.\n\n## Winter\n\nThick oil creeps.\n")
    ingest_folder(dsn, words, "acme", Request(paths=(docs / "oil.md",), acl=EVERYONE))
    passage = await passage_on(dsn, words, "thick oil creeps")

    def headings(word: str) -> tuple[str, ...]:
        return passage.headings_at(passage.char_start + passage.text.index(word))

    assert passage.heading_path == ("Oil",)
    assert headings("Buy") == ("Oil",)
    assert headings("## Summer") == headings("flows") == ("Oil", "Summer")
    assert headings("## Winter") == headings("creeps") == ("Oil", "Winter")
    assert passage.page_at(passage.char_start) is None


async def test_a_passage_knows_the_page_of_each_word(dsn: str, docs: Path, words: WordEmbedder) -> None:
    """Of a PDF's passage that reaches over two page ends, each part is on its own page, under its own heading."""
    pages = ("Oil\n\nBuy thin oil.", "Summer\n\nThin oil flows.", "Winter\n\nThick oil creeps.")
    (docs / "oil.pdf").write_bytes(make_pdf(*pages, bookmarks=True))
    ingest_folder(dsn, words, "acme", Request(paths=(docs / "oil.pdf",), acl=EVERYONE))
    passage = await passage_on(dsn, words, "thick oil creeps")

    def place(word: str) -> tuple[int | None, tuple[str, ...]]:
        offset = passage.char_start + passage.text.index(word)
        return passage.page_at(offset), passage.headings_at(offset)

    assert (passage.first_page, passage.last_page) == (1, 3)
    assert place("Buy") == (1, ("Oil",))
    assert place("Summer") == place("flows") == (2, ("Summer",))
    assert place("Winter") == place("creeps") == (3, ("Winter",))


class _Immeasurable(WordEmbedder):
    """Gives texts about pumps a vector that Postgres does not take."""

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        vectors = super().embed_documents(texts)
        vectors[["pump" in text for text in texts]] = np.nan
        return vectors


def test_a_refused_document_costs_itself_only(dsn: str, docs: Path) -> None:
    """Documents are stored a few at a time; one that Postgres refuses is a line in the report, the others are there."""
    report = ingest_folder(dsn, _Immeasurable(), "acme", Request(paths=(docs,), acl=EVERYONE))
    assert [(failure.uri, failure.reason) for failure in report.failures] == [("docs/pump.md", "refused_by_database")]
    assert report.indexed == ("docs/leave.txt",)
    assert list(column(dsn, "uri")) == ["docs/leave.txt"]
    counted_right(dsn)


def test_a_group_loses_its_documents_together(dsn: str, docs: Path) -> None:
    """Permissions that one run takes away from several documents are gone in one transaction, and the counts follow."""
    for groups in (["group:a", "group:b"], ["group:b"]):
        entries: list[dict[str, object]] = [{"path": path, "allow": groups} for path in ("pump.md", "leave.txt")]
        report = ingest_folder(dsn, WordEmbedder(), "acme", listed(docs, *entries))
    assert len(report.updated) == 2
    assert list(column(dsn, "acl").values()) == [["group:b"], ["group:b"]]
    assert len(set(column(dsn, "xmin::text").values())) == 1
    counted_right(dsn)
