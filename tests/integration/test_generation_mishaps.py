"""What happens to documents, and to their sources, while a generation of the index is built beside the live one."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from ingest.doctor.checkup import Checkup, examine
from ingest.generations.building import build
from ingest.generations.records import open_generations
from ingest.indexing import claim_generation
from ingest.sources import Request
from ingest.store import open_writer
from retrieval.access import tenant_id
from retrieval.database.statements import reference_statement
from retrieval.errors import Conflict
from retrieval.models.protocols import Vectors
from tests.conftest import ingest_folder, on_database
from tests.fakes import TouchyEmbedder, WordEmbedder
from tests.generations import EVERYONE, StrangeEmbedder, added, filled, moved, rebuild_of


def test_a_document_deleted_and_written_anew_while_it_is_embedded_is_the_new_one(dsn: str, tmp_path: Path) -> None:
    """Its first words are in no generation, though both had been written once: a version is never used again."""
    filled(dsn, tmp_path, 1)
    rebuild, docs = added(dsn, "strange"), tmp_path / "acme"

    class Overtaken(StrangeEmbedder):
        def embed_documents(self, texts: Sequence[str]) -> Vectors:
            if "secret" in (docs / "000.md").read_text():
                with open_writer(dsn, tenant_id("acme")) as writer:
                    assert writer.remove("acme/000.md")
                (docs / "000.md").write_text("# New\n\nNothing is said here.\n")
                ingest_folder(dsn, WordEmbedder(), "acme", Request(paths=(docs,), acl=EVERYONE))
            return super().embed_documents(texts)

    (docs / "000.md").write_text("# Old\n\nA secret was here.\n")
    with open_writer(dsn, tenant_id("acme")) as writer:
        writer.remove("acme/000.md")
    ingest_folder(dsn, WordEmbedder(), "acme", Request(paths=(docs,), acl=EVERYONE))
    build(replace(rebuild, embedder=Overtaken()))
    build(rebuild)
    with psycopg.connect(dsn) as connection:
        texts = connection.execute("SELECT text FROM pincite_g2.chunks WHERE tenant_id = 'acme'").fetchall()
    assert [text for (text,) in texts] == ["# New\n\nNothing is said here."]


def test_a_writer_that_takes_long_fails_no_move(dsn: str, tmp_path: Path) -> None:
    """Its transaction is not waited for as long as it takes, nor taken for an outage: the move is tried again."""
    filled(dsn, tmp_path, 1)
    rebuild = added(dsn, "strange")
    build(rebuild)
    with psycopg.connect(dsn) as writing, open_generations(dsn) as generations:
        writing.execute(reference_statement("ingest", "share_generations").query)
        assert not generations.make_live(2)
        writing.rollback()
        assert generations.make_live(2)


def test_the_first_writers_of_an_empty_database_share_its_first_generation(dsn: str) -> None:
    """However many begin at the same moment."""
    for _ in range(30):
        together = threading.Barrier(4)

        def claimed(together: threading.Barrier = together) -> int:
            together.wait(60)
            return claim_generation(dsn, WordEmbedder()).generation_id

        with ThreadPoolExecutor(4) as writers:
            assert [each.result() for each in [writers.submit(claimed) for _ in range(4)]] == [1, 1, 1, 1]
        with psycopg.connect(dsn) as connection:
            connection.execute("TRUNCATE generations CASCADE")


def test_who_had_looked_just_before_writers_are_paused_is_caught_up_with(dsn: str, tmp_path: Path) -> None:
    """Its transaction begins within the pause: the move goes on, and holds what was written."""
    filled(dsn, tmp_path, 1)
    left = iter(range(7))  # two tenants in the first round, one document in each later one: the last is in the pause

    def write(_documents: int, _chunks: int) -> None:
        if next(left, None) is not None:
            with psycopg.connect(dsn) as writing:
                writing.execute("UPDATE documents SET version = version + 1 WHERE tenant_id = 'acme'")

    assert moved(replace(added(dsn, "strange"), on_batch=write))
    assert next(left, None) is None
    with open_generations(dsn) as generations:
        assert (generations.live().generation_id, generations.pending(2).documents) == (2, 0)


def test_a_document_lost_by_a_forced_move_is_told_and_made_by_its_next_ingest(dsn: str, tmp_path: Path) -> None:
    """Though its file is the one that is stored: what the model refused once is not taken for unchanged."""
    filled(dsn, tmp_path, 1)
    request = Request(paths=(tmp_path / "acme",), acl=EVERYONE)
    (tmp_path / "acme" / "bad.md").write_text("# Bad\n\nAn unspeakable word.\n")
    ingest_folder(dsn, WordEmbedder(), "acme", request)

    class Touchy(StrangeEmbedder, TouchyEmbedder):
        pass

    moved(replace(added(dsn, "strange"), embedder=Touchy()))
    checkup = Checkup(dsn=dsn, settings=on_database(dsn).database, index_from=10, embedder=StrangeEmbedder(), recipe="")
    [lost] = [found for found in examine(checkup) if found.code == "refused_documents"]
    assert (lost.severity, lost.count) == ("error", 1)
    assert ingest_folder(dsn, StrangeEmbedder(), "acme", request).indexed == ("acme/bad.md",)
    assert not [found for found in examine(checkup) if found.code == "refused_documents"]


def test_going_back_leads_to_where_one_came_from(dsn: str, tmp_path: Path) -> None:
    """Not to a model that was tried and left in between, though it is the younger one."""
    filled(dsn, tmp_path, 1)
    with open_generations(dsn) as generations, pytest.raises(Conflict, match="no generation"):
        generations.before()
    moved(added(dsn, "strange"))
    with open_generations(dsn) as generations:
        first = generations.before()
    moved(rebuild_of(dsn, first, WordEmbedder()))
    moved(added(dsn, "mirrored"))
    with open_generations(dsn) as generations:
        assert (generations.live().generation_id, generations.before().generation_id) == (3, 1)
