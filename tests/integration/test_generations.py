"""A generation built beside the live one is what the new model would have made of the same documents, and no other."""

from collections.abc import Sequence
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from ingest.generations.building import build, forget_outdated
from ingest.generations.records import open_generations
from ingest.sources import Request
from retrieval.database.generations import TABLES, schema_of
from retrieval.errors import Conflict, GenerationChanged
from retrieval.models.protocols import Vectors
from tests.conftest import ingest_folder, new_database
from tests.fakes import TouchyEmbedder, WordEmbedder
from tests.generations import EVERYONE, StrangeEmbedder, added, filled, moved, rebuild_of

CONTENT = (
    "SELECT tenant_id, document_id, recipe, chunk_count, problem FROM {} ORDER BY 1, 2",
    "SELECT * FROM {} ORDER BY tenant_id, document_id, ordinal",
    "SELECT tenant_id, document_id, ordinal, embedding::text FROM {} ORDER BY 1, 2, 3",
    "SELECT tenant_id, document_id, ordinal, term_keys, weights::text FROM {} ORDER BY 1, 2, 3",
    "SELECT * FROM {} WHERE chunk_count <> 0 ORDER BY 1, 2",
    "SELECT * FROM {} WHERE chunk_count <> 0 ORDER BY 1, 2",
    "SELECT * FROM {} WHERE chunk_count <> 0 ORDER BY 1, 2",
)

MADE = """
    SELECT attname, format_type(atttypid, atttypmod), attnotnull, attstorage, attcompression
    FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 ORDER BY attnum;
    SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = %s::regclass ORDER BY 1;
    SELECT relname, pg_get_indexdef(oid, 0, true) FROM pg_index JOIN pg_class ON oid = indexrelid
    WHERE indrelid = %s::regclass AND relname NOT LIKE 'embeddings_hnsw%%' ORDER BY 1;
    SELECT polname, pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid)
    FROM pg_policy WHERE polrelid = %s::regclass;
    SELECT reloptions, relrowsecurity, relacl::text FROM pg_class WHERE oid = %s::regclass
"""


def content(dsn: str, generation_id: int) -> dict[str, list[tuple[object, ...]]]:
    """All that a generation holds, but for its counts that came to nothing."""
    with psycopg.connect(dsn) as connection:
        return {
            table: connection.execute(sql.SQL(query).format(sql.Identifier(schema_of(generation_id), table))).fetchall()
            for table, query in zip(TABLES, CONTENT, strict=True)
        }


def made_by(server: str, folder: Path, embedder: WordEmbedder) -> dict[str, list[tuple[object, ...]]]:
    """What a first ingest with this model makes of the folder's tenants."""
    for dsn in new_database(server):
        for tenant in ("acme", "zenith"):
            acl = frozenset({"everyone", f"user:{tenant}"})
            ingest_folder(dsn, embedder, tenant, Request(paths=(folder / tenant,), acl=acl, metadata={"site": tenant}))
        return content(dsn, 1)
    raise AssertionError


def test_a_built_generation_is_what_an_ingest_would_have_made(server: str, dsn: str, tmp_path: Path) -> None:
    """Row by row: the files are not read, and nothing tells that another model was there before."""
    filled(dsn, tmp_path)
    before = content(dsn, 1)
    rebuild = added(dsn, "strange")
    assert build(rebuild) == 24
    assert content(dsn, rebuild.generation.generation_id) == made_by(server, tmp_path, StrangeEmbedder())
    assert content(dsn, 1) == before
    assert build(rebuild) == 0


def test_its_tables_are_made_like_the_live_ones(dsn: str, tmp_path: Path) -> None:
    """Columns, keys, indexes, policies, storage and grants: but for the schema's name there is no difference."""
    filled(dsn, tmp_path, 1)
    generation = added(dsn, "strange").generation
    with psycopg.connect(dsn) as connection:
        for schema in ("public", generation.schema):
            connection.execute(sql.SQL("SET search_path = {}, public").format(sql.Identifier(schema)))
            found = [_made(connection, schema, table) for table in TABLES]
            if schema == "public":
                live = found
    assert found == live


def _made(connection: psycopg.Connection[tuple[object, ...]], schema: str, table: str) -> list[object]:
    name = f"{schema}.{table}"
    return [connection.execute(query, [name]).fetchall() for query in MADE.split(";")]


def test_writers_keep_every_generation_true(server: str, dsn: str, tmp_path: Path) -> None:
    """What is replaced, removed or given to others while a generation is built is right in it in the end."""
    filled(dsn, tmp_path)
    rebuild = added(dsn, "strange")
    build(rebuild)
    docs = tmp_path / "acme"
    (docs / "001.md").write_text("# Valve 1\n\nThis valve was replaced by a blue one.\n")
    (docs / "new.md").write_text("# New\n\nA new pump was bought.\n")
    ingest_folder(dsn, WordEmbedder(), "acme", Request(paths=(docs,), acl=frozenset({"group:a"})))
    request = Request(paths=(docs,), acl=frozenset({"everyone", "user:acme"}), metadata={"site": "acme"})
    ingest_folder(dsn, WordEmbedder(), "acme", request)
    assert build(rebuild) == 2
    assert content(dsn, rebuild.generation.generation_id) == made_by(server, tmp_path, StrangeEmbedder())
    assert content(dsn, 1) == made_by(server, tmp_path, WordEmbedder())


def test_after_a_move_the_other_generation_is_kept_up(server: str, dsn: str, tmp_path: Path) -> None:
    """Writers of the new model write into the new generation; going back makes the old one catch up first."""
    filled(dsn, tmp_path)
    rebuild = added(dsn, "strange")
    assert not moved(rebuild)
    (tmp_path / "acme" / "001.md").write_text("# Valve 1\n\nThis valve was replaced by a blue one.\n")
    request = Request(paths=(tmp_path / "acme",), acl=frozenset({"everyone", "user:acme"}), metadata={"site": "acme"})
    assert ingest_folder(dsn, StrangeEmbedder(), "acme", request).indexed == ("acme/001.md",)
    assert content(dsn, 2) == made_by(server, tmp_path, StrangeEmbedder())
    with open_generations(dsn) as generations:
        assert generations.pending(1).documents == 1
        back = generations.named(1)
    assert not moved(rebuild_of(dsn, back, WordEmbedder()))
    assert content(dsn, 1) == made_by(server, tmp_path, WordEmbedder())
    assert ingest_folder(dsn, WordEmbedder(), "acme", request).indexed == ()


def test_a_writer_of_the_model_before_is_told_so(dsn: str, tmp_path: Path) -> None:
    """A run that began before the index was moved writes nothing of the old model into the new generation."""
    filled(dsn, tmp_path)
    rebuild = added(dsn, "strange")

    class Moving(WordEmbedder):
        def embed_documents(self, texts: Sequence[str]) -> Vectors:
            if rebuild.generation.generation_id not in done:
                done.add(rebuild.generation.generation_id)
                moved(rebuild)
            return super().embed_documents(texts)

    done: set[int] = set()
    (tmp_path / "acme" / "001.md").write_text("# Valve 1\n\nThis valve was replaced by a blue one.\n")
    with pytest.raises(GenerationChanged):
        ingest_folder(dsn, Moving(), "acme", Request(paths=(tmp_path / "acme",), acl=EVERYONE))
    assert {row[2].split("|")[1] for row in content(dsn, 2)["cut_documents"]} == {"strange-96"}  # type: ignore[attr-defined]


def test_a_document_that_the_model_refuses_is_a_problem_of_its_own(dsn: str, tmp_path: Path) -> None:
    """It is counted, holds nothing up, and is tried again by the next run."""
    filled(dsn, tmp_path, 3)
    (tmp_path / "acme" / "bad.md").write_text("# Bad\n\nAn unspeakable word.\n")
    ingest_folder(dsn, WordEmbedder(), "acme", Request(paths=(tmp_path / "acme",), acl=EVERYONE))
    rebuild = added(dsn, "strange")

    class Touchy(StrangeEmbedder, TouchyEmbedder):
        pass

    touchy = rebuild_of(dsn, rebuild.generation, Touchy())
    assert build(touchy) == 7
    with open_generations(dsn) as generations:
        found = generations.pending(2)
    assert (found.documents, found.problems) == (0, 1)
    forget_outdated(rebuild)
    assert build(rebuild) == 1
    with open_generations(dsn) as generations:
        assert generations.pending(2).problems == 0


def test_a_generation_is_dropped_only_when_nobody_reads_it(dsn: str, tmp_path: Path) -> None:
    """Never the live one; the one before only after a while, unless forced; then nothing of it is left."""
    filled(dsn, tmp_path, 3)
    moved(added(dsn, "strange"))
    with open_generations(dsn) as generations:
        with pytest.raises(Conflict, match="live"):
            generations.drop(2, force=True)
        with pytest.raises(Conflict, match="minutes"):
            generations.drop(1)
        generations.drop(1, force=True)
        assert [each.generation_id for each in generations.all()] == [2]
    with psycopg.connect(dsn) as connection:
        left = connection.execute("SELECT to_regclass('public.chunks'), to_regclass('pincite_g2.chunks')").fetchone()
    assert left == (None, "pincite_g2.chunks")
    rebuild = added(dsn, "words")
    assert rebuild.generation.generation_id == 3
    moved(rebuild)
    with open_generations(dsn) as generations:
        generations.drop(2, force=True)
    ingest_folder(dsn, WordEmbedder(), "acme", Request(paths=(tmp_path / "acme",), acl=EVERYONE))


def test_one_process_moves_generations_at_a_time(dsn: str, tmp_path: Path) -> None:
    """A second one is refused at once."""
    filled(dsn, tmp_path, 1)
    with open_generations(dsn), pytest.raises(Conflict, match="another process"), open_generations(dsn):
        pass


def test_what_only_a_parser_can_find_is_kept(server: str, dsn: str, tmp_path: Path) -> None:
    """Names of classes and functions, and the header that the parts of a table go on from: as of the files."""
    filled(dsn, tmp_path, 1)
    docs = tmp_path / "acme"
    method = "    def turn_{0}(self) -> int:\n        return {0} + self.oil * 7 - self.wear / 3\n\n"
    (docs / "pump.py").write_text("class Pump:\n" + "".join(method.format(at) for at in range(30)))
    rows = "".join(f"| Pump {at} | oil of kind {at} | every {at} weeks |\n" for at in range(60))
    (docs / "oils.md").write_text(f"# Oils\n\n| Pump | Oil | Change |\n|---|---|---|\n{rows}")
    request = Request(paths=(docs,), acl=frozenset({"everyone", "user:acme"}), metadata={"site": "acme"})
    ingest_folder(dsn, WordEmbedder(), "acme", request)
    rebuild = added(dsn, "strange")
    build(rebuild)
    built = content(dsn, rebuild.generation.generation_id)
    assert built == made_by(server, tmp_path, StrangeEmbedder())
    with psycopg.connect(dsn) as connection:
        connection.execute(sql.SQL("SET search_path = {}, public").format(sql.Identifier(rebuild.generation.schema)))
        leads = connection.execute("SELECT count(*) FROM chunks WHERE lead LIKE '%| Pump | Oil |%'").fetchone()
        names = connection.execute("SELECT count(*) FROM chunks WHERE 'Pump' = ANY (heading_path)").fetchone()
    assert leads is not None
    assert names is not None
    assert leads[0] > 0
    assert names[0] > 0
