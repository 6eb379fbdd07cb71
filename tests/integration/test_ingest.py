"""The ingest path on a real Postgres: what a run leaves behind, whatever happened to the one before."""

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from ingest.pipeline import ingest
from ingest.sources import Request, select
from retrieval.access import caller
from retrieval.domain import Question
from retrieval.engine import Engine, open_engine
from retrieval.errors import EmbedderUnavailable, IndexMismatch, InvalidManifest
from retrieval.filters import MAX_KEY_CHARS, read_date
from retrieval.searching import retrieve
from tests.conftest import ingest_folder, on_database, run_of
from tests.fakes import WordEmbedder

EVERYONE = frozenset({"everyone"})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three small documents."""
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "pump.md").write_text(
        "# Pumps\n\nThe red pump needs oil every week.\n\n## Spare parts\n\nOrder HX-2041-B.\n"
    )
    (docs / "leave.txt").write_text("Vacation is 25 days a year. It must be taken by March.")
    (docs / "page.html").write_text("<title>Gauge</title><body><h1>Gauge</h1><p>A gauge shows pressure.</p></body>")
    return docs


def everything(dsn: str) -> list[object]:
    """The whole index, in an order of its own, without what time alone decides."""
    with psycopg.connect(dsn) as connection:
        return [
            connection.execute(query).fetchall()
            for query in (
                "SELECT document_id, uri, title, acl, metadata, content, blocks FROM documents ORDER BY 1",
                "SELECT tenant_id, document_id, recipe, chunk_count FROM cut_documents ORDER BY 1, 2",
                "SELECT * FROM chunks ORDER BY tenant_id, document_id, ordinal",
                "SELECT tenant_id, document_id, ordinal, embedding::text FROM embeddings ORDER BY 1, 2, 3",
                "SELECT tenant_id, document_id, ordinal, term_keys, weights::text FROM chunk_terms ORDER BY 1, 2, 3",
                "SELECT * FROM term_statistics WHERE chunk_count <> 0 ORDER BY 1, 2",
                "SELECT * FROM language_statistics WHERE chunk_count <> 0 ORDER BY 1, 2",
                "SELECT * FROM grants ORDER BY 1, 2, 3",
                "SELECT * FROM principal_statistics WHERE chunk_count <> 0 ORDER BY 1, 2",
                "SELECT * FROM field_statistics WHERE document_count <> 0 ORDER BY 1, 2, 3",
            )
        ]


async def found(engine: Engine, text: str, *principals: str) -> list[str]:
    question = Question(text=text, caller=caller("acme", principals), limit=5)
    return [ranked.passage.uri for ranked in (await retrieve(engine, question)).passages]


def test_a_second_run_embeds_nothing(dsn: str, folder: Path, words: WordEmbedder) -> None:
    """Unchanged bytes and recipe: not a chunk is embedded and not a row is different."""
    first = ingest_folder(dsn, words, "acme", Request(paths=(folder,), acl=EVERYONE))
    before, embedded = everything(dsn), len(words.embedded)
    second = ingest_folder(dsn, words, "acme", Request(paths=(folder,), acl=EVERYONE))
    assert sorted(first.indexed) == ["docs/leave.txt", "docs/page.html", "docs/pump.md"]
    assert sorted(second.unchanged) == sorted(first.indexed)
    assert len(words.embedded) == embedded
    assert everything(dsn) == before


def test_a_changed_document_is_replaced_whole(dsn: str, folder: Path, words: WordEmbedder) -> None:
    """After an update the index is what a first run over the new files would have made; only the version tells."""
    ingest_folder(dsn, words, "acme", Request(paths=(folder,), acl=EVERYONE))
    (folder / "pump.md").write_text("# Pumps\n\nThe blue pump needs grease.\n")
    report = ingest_folder(dsn, words, "acme", Request(paths=(folder,), acl=EVERYONE))
    assert report.indexed == ("docs/pump.md",)
    updated = everything(dsn)
    with psycopg.connect(dsn) as connection:
        assert connection.execute("SELECT version FROM documents WHERE uri = 'docs/pump.md'").fetchone() == (2,)
        connection.execute(
            "TRUNCATE documents, term_statistics, language_statistics, principal_statistics, field_statistics CASCADE"
        )
    ingest_folder(dsn, words, "acme", Request(paths=(folder,), acl=EVERYONE))
    assert everything(dsn) == updated


async def test_a_revocation_embeds_nothing_and_is_seen_at_once(dsn: str, folder: Path, words: WordEmbedder) -> None:
    """New permissions touch the document's row only, and the next search obeys them."""
    ingest_folder(dsn, words, "acme", Request(paths=(folder,), acl=frozenset({"group:eng", "group:ops"})))
    embedded = len(words.embedded)
    async with open_engine(on_database(dsn), embedder=words) as engine:
        assert "docs/pump.md" in await found(engine, "red pump oil", "group:ops")
        report = ingest_folder(dsn, words, "acme", Request(paths=(folder,), acl=frozenset({"group:eng"})))
        assert len(report.updated) == 3
        assert len(words.embedded) == embedded
        assert await found(engine, "red pump oil", "group:ops") == []
        assert "docs/pump.md" in await found(engine, "red pump oil", "group:eng")


def test_prune_removes_what_is_gone_and_nothing_else(dsn: str, folder: Path, words: WordEmbedder) -> None:
    """Only documents under the given folder that are no longer there go, their words and vectors with them."""
    other = folder.parent / "other"
    other.mkdir()
    (other / "kept.txt").write_text("Kept in another folder.")
    ingest_folder(dsn, words, "acme", Request(paths=(folder, other), acl=EVERYONE))
    (folder / "leave.txt").unlink()
    (folder / "page.html").rename(folder / "excluded.html")
    request = Request(paths=(folder,), acl=EVERYONE, exclude=("*.md",))
    run = run_of(dsn, words, prune=True)
    report = ingest(run, select(request))
    assert report.removed == ("docs/leave.txt", "docs/page.html")
    with psycopg.connect(dsn) as connection:
        left = connection.execute("SELECT uri FROM documents ORDER BY uri").fetchall()
    assert left == [("docs/excluded.html",), ("docs/pump.md",), ("other/kept.txt",)]
    counted_right(dsn)


def counted_right(dsn: str) -> None:
    """The maintained statistics and grants equal a count from scratch."""
    with psycopg.connect(dsn) as connection:
        grants = connection.execute("SELECT tenant_id, principal, document_id FROM grants ORDER BY 1, 2, 3").fetchall()
        assert (
            grants
            == connection.execute(
                "SELECT tenant_id, principal, document_id FROM documents, unnest(acl) principal ORDER BY 1, 2, 3"
            ).fetchall()
        )
        principals = connection.execute(
            "SELECT tenant_id, principal, chunk_count FROM principal_statistics WHERE chunk_count <> 0 ORDER BY 1, 2"
        ).fetchall()
        assert (
            principals
            == connection.execute(
                "SELECT tenant_id, principal, sum(chunk_count) FROM documents JOIN cut_documents"
                " USING (tenant_id, document_id), unnest(acl) principal"
                " WHERE chunk_count > 0 GROUP BY 1, 2 ORDER BY 1, 2"
            ).fetchall()
        )
        kept = connection.execute(
            "SELECT tenant_id, term_key, chunk_count FROM term_statistics WHERE chunk_count <> 0 ORDER BY 1, 2"
        ).fetchall()
        counted = connection.execute(
            "SELECT tenant_id, key, count(*) FROM chunk_terms, unnest(term_keys) key GROUP BY 1, 2 ORDER BY 1, 2"
        ).fetchall()
        assert kept == counted
        languages = connection.execute(
            "SELECT tenant_id, language, chunk_count FROM language_statistics WHERE chunk_count <> 0 ORDER BY 1, 2"
        ).fetchall()
        assert (
            languages
            == connection.execute(
                "SELECT tenant_id, language, sum(chunk_count) FROM documents JOIN cut_documents"
                " USING (tenant_id, document_id) GROUP BY 1, 2 ORDER BY 1, 2"
            ).fetchall()
        )

        written = connection.execute("SELECT tenant_id, metadata FROM documents").fetchall()
        fields = Counter(
            (tenant, f"metadata.{key}", kind)
            for tenant, metadata in written
            for key, value in metadata.items()
            if len(key) <= MAX_KEY_CHARS
            for kind in kinds(value)
        )
        kept_fields = connection.execute(
            "SELECT tenant_id, field, kind, document_count FROM field_statistics WHERE document_count <> 0"
        ).fetchall()
        assert {(tenant, field, kind): count for tenant, field, kind, count in kept_fields} == fields
        wrong = connection.execute(
            "SELECT uri FROM documents LEFT JOIN document_fields USING (tenant_id, document_id) WHERE fields IS NULL"
            " OR (fields ->> 'version')::integer <> version OR fields ->> 'uri' <> uri"
            " OR (fields -> 'dates' ->> 'updated_at')::bigint <> extract(epoch FROM updated_at) * 1000000"
            " OR EXISTS (SELECT FROM jsonb_each(metadata)"
            "            WHERE length(key) <= 200 AND fields -> ('metadata.' || key) IS DISTINCT FROM value)"
        ).fetchall()
        assert wrong == []


def kinds(value: object) -> set[str]:
    """What a value of metadata can be compared as."""
    if isinstance(value, str):
        return {"text", "date"} if read_date(value) else {"text"}
    return {"boolean" if isinstance(value, bool) else "number"}


def test_dry_run_changes_nothing(dsn: str, folder: Path, words: WordEmbedder) -> None:
    """A dry run reports what would be done and writes nothing, not even the tenant or the model's claim."""
    run = run_of(dsn, words, dry_run=True)
    report = ingest(run, select(Request(paths=(folder,), acl=EVERYONE)))
    assert len(report.indexed) == 3
    assert words.embedded == []
    with psycopg.connect(dsn) as connection:
        for table in ("tenants", "documents", "generations"):
            assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)  # noqa: S608


def test_one_bad_document_is_a_line_in_the_report(dsn: str, folder: Path, words: WordEmbedder) -> None:
    """Broken, empty, hostile and unsupported files are failures with a reason; the good ones are indexed."""
    (folder / "broken.pdf").write_bytes(b"%PDF-1.7 and then nothing")
    (folder / "empty.md").write_bytes(b"")
    (folder / "zeros.txt").write_bytes(b"\x00" * 4096)
    (folder / "fake.docx").write_bytes(b"PK\x03\x04 not a zip")
    (folder / "table.xyz").write_bytes(b"?")
    request = Request(paths=(folder, folder / "table.xyz", folder / "nul.txt"), acl=EVERYONE)
    (folder / "nul.txt").write_text("One NUL \x00 in the middle of a sentence about valves.")
    report = ingest_folder(dsn, words, "acme", request)
    reasons = {failure.uri: failure.reason for failure in report.failures}
    assert reasons.keys() == {"docs/broken.pdf", "docs/empty.md", "docs/zeros.txt", "docs/fake.docx", "table.xyz"}
    assert reasons["docs/empty.md"] == "empty"
    assert reasons["table.xyz"] == "unsupported_format"
    assert len(report.indexed) == 5


def test_another_model_is_refused(dsn: str, folder: Path, words: WordEmbedder) -> None:
    """A database belongs to the model that wrote first; another one's vectors are never mixed in."""
    ingest_folder(dsn, words, "acme", Request(paths=(folder,), acl=EVERYONE))
    stranger = WordEmbedder()
    stranger.name = "words-65"
    with pytest.raises(IndexMismatch, match="words-64"):
        ingest_folder(dsn, stranger, "acme", Request(paths=(folder,), acl=EVERYONE))


@pytest.mark.model
async def test_a_service_with_another_model_does_not_start(dsn: str, folder: Path, words: WordEmbedder) -> None:
    """Opening the engine on an index of another model raises `IndexMismatch`."""
    ingest_folder(dsn, words, "acme", Request(paths=(folder,), acl=EVERYONE))
    with pytest.raises(IndexMismatch, match="words-64"):
        async with open_engine(on_database(dsn)):
            pass


def test_an_embedder_that_dies_leaves_whole_documents(dsn: str, folder: Path, words: WordEmbedder) -> None:
    """When the embedder gives way the run stops, says so, and the next run carries on."""
    words.broken = True
    with pytest.raises(EmbedderUnavailable):
        ingest_folder(dsn, words, "acme", Request(paths=(folder,), acl=EVERYONE))
    words.broken = False
    assert len(ingest_folder(dsn, words, "acme", Request(paths=(folder,), acl=EVERYONE)).indexed) == 3


def test_two_runs_at_once_double_nothing(dsn: str, folder: Path) -> None:
    """Two runs over the same files end in the same index as one."""
    request = Request(paths=(folder,), acl=EVERYONE)
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda _: ingest_folder(dsn, WordEmbedder(), "acme", request), range(2)))
    both = everything(dsn)
    counted_right(dsn)
    with psycopg.connect(dsn) as connection:
        connection.execute(
            "TRUNCATE documents, term_statistics, language_statistics, principal_statistics, field_statistics CASCADE"
        )
    ingest_folder(dsn, WordEmbedder(), "acme", request)
    assert everything(dsn) == both


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "line 1"),
        ('{"path": "pump.md", "allow": ["eng"]}', "not a principal"),
        ('{"path": "../secret.md"}', "outside"),
        ('{"path": "pump.md", "colour": "red"}', "colour"),
        ('{"path": "pump.md", "language": "xx"}', "language"),
    ],
)
def test_a_bad_manifest_is_refused_before_anything_happens(folder: Path, line: str, said: str) -> None:
    """What is wrong in a manifest is named."""
    manifest = folder / "manifest.jsonl"
    manifest.write_text(line)
    with pytest.raises(InvalidManifest, match=said):
        select(Request(manifest=manifest))


def test_manifest_and_command_line_together(folder: Path) -> None:
    """The manifest overrides the command line, document by document; the rest keeps the command line's."""
    manifest = folder / "manifest.jsonl"
    manifest.write_text(
        json.dumps({"path": "pump.md", "allow": ["group:eng"], "title": "P", "metadata": {"year": 2026}})
    )
    request = Request(paths=(folder,), manifest=manifest, acl=EVERYONE, metadata={"year": 2025, "site": "Halden"})
    selected = {source.uri: source for source in select(request).sources}
    assert selected["docs/pump.md"].acl == {"group:eng"}
    assert selected["docs/pump.md"].metadata == {"year": 2026, "site": "Halden"}
    assert selected["docs/leave.txt"].acl == EVERYONE


def test_a_document_nobody_could_see_is_a_failure(folder: Path) -> None:
    """Without any permission a document would be lost in the index: it is refused with the remedy."""
    selection = select(Request(paths=(folder,)))
    assert {failure.reason for failure in selection.failures} == {"no_acl"}
    assert selection.sources == ()
