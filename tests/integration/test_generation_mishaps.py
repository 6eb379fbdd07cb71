"""What happens to documents, and to their sources, while a generation of the index is built beside the live one."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import psycopg

from ingest.generations.building import build
from ingest.sources import Request
from ingest.store import open_writer
from retrieval.access import tenant_id
from retrieval.models.protocols import Vectors
from tests.conftest import ingest_folder
from tests.fakes import WordEmbedder
from tests.generations import EVERYONE, StrangeEmbedder, added, filled


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
