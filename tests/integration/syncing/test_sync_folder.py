"""A folder is followed: what changed is read, what is gone goes, and nothing else is touched."""

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from ingest.deleting.receipts import Deletion, Receipt, verify
from ingest.deleting.tenants import delete_tenant
from ingest.store import add_tenant
from ingest.syncing.state import open_state
from retrieval.access import tenant_id
from retrieval.errors import EmbedderUnavailable
from retrieval.models.protocols import Vectors
from retrieval.settings import SyncSettings
from tests.fakes import TouchyEmbedder, WordEmbedder
from tests.integration.test_ingest import counted_right
from tests.syncing import documents, folder, sync, write, written

TEXTS = {f"part/{number}.md": f"# Part {number}\n\nThe pump number {number} needs oil.\n" for number in range(12)}


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    docs = tmp_path / "docs"
    write(docs, TEXTS)
    return docs


def test_a_second_run_reads_and_writes_nothing(dsn: str, docs: Path, words: WordEmbedder) -> None:
    """What did not change is not opened, not embedded and not written; the run itself is one row."""
    first = sync(dsn, words, folder(docs))
    assert (first.found, first.fetched, len(first.indexed), first.problems) == (12, 12, 12, ())
    for file in docs.rglob("*.md"):
        file.chmod(0o000)
        file.chmod(0o644)
    sync(dsn, words, folder(docs))  # a change of mode is looked at once
    words.embedded.clear()
    counted = written(dsn)
    second = sync(dsn, words, folder(docs))
    assert (second.found, second.unchanged, second.fetched, second.failures) == (12, 12, 0, ())
    assert (words.embedded, counted()) == ([], {"sync_sources": 1})


def test_only_what_changed_is_done(dsn: str, docs: Path, words: WordEmbedder) -> None:
    """New, rewritten, touched and removed files: each gets what it needs."""
    sync(dsn, words, folder(docs))
    words.embedded.clear()
    write(docs, {"new.md": "A gauge shows pressure.", "part/1.md": "# Part 1\n\nThe valve closes."})
    (docs / "part/2.md").touch()
    (docs / "part/3.md").unlink()
    report = sync(dsn, words, folder(docs))
    assert set(report.indexed) == {"docs/new.md", "docs/part/1.md"}
    assert (report.fetched, report.unchanged, report.removed) == (3, 9, ("docs/part/3.md",))
    assert len(words.embedded) == 2
    assert len(documents(dsn)) == 12
    counted_right(dsn)


def test_a_change_within_the_same_tick_is_seen(dsn: str, docs: Path, words: WordEmbedder) -> None:
    """A file so young that its time may not show the next change is read again."""
    (docs / "part/0.md").write_text("The old text.")
    sync(dsn, words, folder(docs))
    young = sync(dsn, words, folder(docs))
    assert (young.fetched, young.indexed, young.unchanged) == (1, (), 11)


def test_permissions_follow_the_rules_without_embedding(dsn: str, docs: Path, words: WordEmbedder) -> None:
    """The first rule that matches decides; a change of rules reads and embeds nothing."""
    sync(dsn, words, folder(docs))
    words.embedded.clear()
    rules = ({"match": "part/1*", "allow": ("group:one",)}, {"match": "part/", "allow": ("group:all",)})
    report = sync(dsn, words, folder(docs, rules=rules))
    assert (report.fetched, words.embedded, len(report.updated)) == (0, [], 12)
    assert documents(dsn)["docs/part/1.md"] == documents(dsn)["docs/part/11.md"] == ["group:one"]
    assert documents(dsn)["docs/part/2.md"] == ["group:all"]
    counted_right(dsn)


def test_permissions_are_taken_away_while_the_source_is_away(dsn: str, docs: Path, words: WordEmbedder) -> None:
    """A revocation waits neither for the source nor for the model; nobody is let in meanwhile."""
    sync(dsn, words, folder(docs, allow=("group:eng", "group:ops")))
    docs.rename(docs.parent / "elsewhere")
    words.broken = True
    report = sync(dsn, words, folder(docs, allow=("group:eng", "group:new")))
    assert [problem.code for problem in report.problems] == ["source_unavailable"]
    assert set(map(tuple, documents(dsn).values())) == {("group:eng",)}


def test_a_rewritten_document_is_not_shown_to_new_readers_too_early(dsn: str, docs: Path, words: WordEmbedder) -> None:
    """Who may see the new text only does not see the old one while the new one cannot be stored."""
    sync(dsn, words, folder(docs, allow=("group:board",)))
    write(docs, {"part/0.md": "# Part 0\n\nA public text."})
    words.broken = True
    with pytest.raises(EmbedderUnavailable):
        sync(dsn, words, folder(docs))
    assert documents(dsn)["docs/part/0.md"] == ["nobody"]
    words.broken = False
    sync(dsn, words, folder(docs))
    assert set(map(tuple, documents(dsn).values())) == {("everyone",)}


def test_what_no_rule_matches_is_a_failure_and_seen_by_nobody(dsn: str, docs: Path, words: WordEmbedder) -> None:
    """A document without permissions is never public: new, it is not stored; known, it is hidden."""
    rules = ({"match": "part/1.md", "allow": ("everyone",)},)
    report = sync(dsn, words, folder(docs, allow=(), rules=rules))
    assert {failure.reason for failure in report.failures} == {"no_acl"}
    assert documents(dsn) == {"docs/part/1.md": ["everyone"]}
    report = sync(dsn, words, folder(docs, allow=(), rules=({"match": "part/2.md", "allow": ("everyone",)},)))
    assert documents(dsn) == {"docs/part/1.md": ["nobody"], "docs/part/2.md": ["everyone"]}
    assert report.removed == ()


def test_a_source_that_breaks_off_removes_nothing(dsn: str, docs: Path, words: WordEmbedder) -> None:
    """A folder that cannot be read to its end keeps its documents; what was read before is stored."""
    sync(dsn, words, folder(docs))
    (docs / "part/0.md").unlink()
    write(docs, {"a.md": "The first."})
    report = sync(dsn, words, folder(docs), settings=SyncSettings(max_entries=5))
    assert [problem.code for problem in report.problems] == ["source_unavailable"]
    assert (report.removed, report.indexed) == ((), ("docs/a.md",))
    assert "docs/part/0.md" in documents(dsn)
    assert sync(dsn, words, folder(docs)).removed == ("docs/part/0.md",)


def test_much_is_removed_only_when_that_is_said(dsn: str, docs: Path, words: WordEmbedder) -> None:
    """An empty source, or one that lost most of itself, may be a disk that is not mounted: its documents stay."""
    sync(dsn, words, folder(docs))
    for number in range(10):
        (docs / f"part/{number}.md").unlink()
    for lost in (2, 0):
        report = sync(dsn, words, folder(docs))
        assert ([problem.code for problem in report.problems], report.found) == (["mass_delete"], lost)
        assert len(documents(dsn)) == 12
        for file in docs.rglob("*.md"):
            file.unlink()
    report = sync(dsn, words, folder(docs), allow_mass_delete=True)
    assert (len(report.removed), documents(dsn), report.problems) == (12, {}, ())
    counted_right(dsn)


def test_a_dry_run_changes_nothing(dsn: str, docs: Path, words: WordEmbedder) -> None:
    """What would be done is said, and neither the database nor the model hears of it."""
    sync(dsn, words, folder(docs, allow=("group:a", "group:b")))
    words.broken = True
    (docs / "part/3.md").unlink()
    write(docs, {"new.md": "A gauge."})
    counted = written(dsn)
    report = sync(dsn, words, folder(docs, allow=("group:a",)), dry_run=True)
    assert (report.indexed, report.removed, len(report.updated)) == (("docs/new.md",), ("docs/part/3.md",), 12)
    assert counted() == {}


def test_a_bad_document_is_reported_each_time_and_read_once(dsn: str, docs: Path, words: WordEmbedder) -> None:
    """What can never be read is not read again until it changes; what failed for now is."""
    write(docs, {"empty.md": " ", "touchy.md": "An unspeakable word."})
    for run, fetched in enumerate((14, 1)):
        report = sync(dsn, TouchyEmbedder(), folder(docs))
        assert {(failure.uri, failure.reason) for failure in report.failures} == {
            ("docs/empty.md", "empty"),
            ("docs/touchy.md", "refused_by_embedder"),
        }, run
        assert report.fetched == fetched
    write(docs, {"empty.md": "Not any more."})
    assert sync(dsn, words, folder(docs)).failures == ()


def test_a_document_that_was_removed_by_hand_comes_back(dsn: str, docs: Path, words: WordEmbedder) -> None:
    """The source says what there is: what somebody removed or replaced in the index is made anew."""
    sync(dsn, words, folder(docs))
    with open_state(dsn, tenant_id("acme"), "docs") as state:
        state.remove("docs/part/1.md")
    report = sync(dsn, words, folder(docs))
    assert (report.indexed, report.unchanged) == (("docs/part/1.md",), 11)


def test_another_recipe_makes_all_anew(dsn: str, docs: Path, words: WordEmbedder) -> None:
    """A language that is declared, or another way to cut, is a change of each document."""
    sync(dsn, words, folder(docs))
    assert len(sync(dsn, words, folder(docs, language="de")).indexed) == 12
    assert sync(dsn, words, folder(docs, language="de")).unchanged == 12


def test_a_run_that_was_killed_is_carried_on(dsn: str, docs: Path, words: WordEmbedder) -> None:
    """A run that ends in the middle leaves nothing that the next one does not know of, even what is gone by then."""
    write(docs, {"part/5.md": "A fatal word."})
    with pytest.raises(EmbedderUnavailable):
        sync(dsn, TouchyEmbedder(), folder(docs))
    with psycopg.connect(dsn) as connection:
        assert connection.execute("SELECT outcome FROM sync_sources").fetchall() == [("running",)]
    (docs / "part/5.md").unlink()
    report = sync(dsn, words, folder(docs))
    assert (len(documents(dsn)), report.problems) == (11, ())
    assert sync(dsn, words, folder(docs)).unchanged == 11
    counted_right(dsn)


def test_one_run_at_a_source(dsn: str, docs: Path, words: WordEmbedder) -> None:
    """A second run at the same source steps back; at another tenant's of the same name it does not."""
    with open_state(dsn, tenant_id("acme"), "docs") as state:
        assert state.lock()
        report = sync(dsn, words, folder(docs))
        assert ([problem.code for problem in report.problems], report.found) == (["already_running"], 0)
        assert len(sync(dsn, words, folder(docs, tenant="beta")).indexed) == 12
    assert len(sync(dsn, words, folder(docs)).indexed) == 12


def test_a_uri_belongs_to_one_source(dsn: str, docs: Path, words: WordEmbedder) -> None:
    """A second source of the same uris stores and removes nothing of the first's; it says so."""
    sync(dsn, words, folder(docs))
    other = docs.parent / "other"
    write(other, {"part/1.md": "Another text.", "own.md": "Its own."})
    report = sync(dsn, words, folder(other, name="other", prefix="docs"))
    assert [(failure.uri, failure.reason) for failure in report.failures] == [("docs/part/1.md", "duplicate_uri")]
    (other / "part/1.md").unlink()
    assert sync(dsn, words, folder(other, name="other", prefix="docs")).removed == ()
    assert "docs/part/1.md" in documents(dsn)


def test_a_manifest_says_more_of_single_files(dsn: str, docs: Path, words: WordEmbedder) -> None:
    """Its permissions, titles and metadata go before the source's; uris of its own are refused."""
    manifest = docs.parent / "manifest.yaml"
    manifest.write_text("documents: [{path: docs/part/1.md, allow: ['group:one'], metadata: {year: 2026}}]")
    sync(dsn, words, folder(docs, manifest=manifest, metadata={"year": 2020}))
    assert documents(dsn)["docs/part/1.md"] == ["group:one"]
    with psycopg.connect(dsn) as connection:
        rows = connection.execute("SELECT metadata FROM documents WHERE uri LIKE 'docs/part/_.md' ORDER BY uri")
        assert [row[0]["year"] for row in rows][:3] == [2020, 2026, 2020]
    manifest.write_text("documents: [{path: docs/part/1.md, uri: mine}]")
    [problem] = sync(dsn, words, folder(docs, manifest=manifest)).problems
    assert problem.code == "invalid_sources"
    assert "mine" in problem.message


def test_hostile_names(dsn: str, tmp_path: Path, words: WordEmbedder) -> None:
    """Names that are no text, too long, or with control characters are reported; their neighbours are stored."""
    docs = tmp_path / "docs"
    write(
        docs,
        {"good.md": "A good file.", "new\nline.md": "Bad.", "x" * 200 + "/" + "y" * 200 + "/" + "z" * 240 + ".md": "."},
    )
    (docs / "bad-\udcff.md").write_text("Not UTF-8.")
    (docs / "escape.md").symlink_to("/etc/passwd")
    report = sync(dsn, words, folder(docs))
    assert [failure.reason for failure in report.failures] == ["bad_name"] * 3
    assert list(documents(dsn)) == ["docs/good.md"]


def test_what_is_no_file_does_not_stop_the_source(dsn: str, docs: Path, words: WordEmbedder) -> None:
    """A link that leads to itself, a pipe nobody writes to: reported, and what is gone is removed all the same."""
    sync(dsn, words, folder(docs))
    (docs / "part/1.md").unlink()
    (docs / "loop.md").symlink_to("loop.md")
    os.mkfifo(docs / "pipe.md")
    report = sync(dsn, words, folder(docs))
    assert [(failure.uri, failure.reason) for failure in report.failures] == [
        ("docs/loop.md", "not_found"),
        ("docs/pipe.md", "not_found"),
    ]
    assert (report.problems, report.removed) == ((), ("docs/part/1.md",))


def test_a_source_does_not_bring_a_deleted_tenant_back(dsn: str, docs: Path) -> None:
    """Neither a run that had begun when the tenant was deleted, nor a later one; made anew, it is synced again."""

    class Overtaken(WordEmbedder):
        def embed_documents(self, texts: Sequence[str]) -> Vectors:
            if not deleted:
                deleted.append(delete_tenant(deletion))
            return super().embed_documents(texts)

    acme = tenant_id("acme")
    deletion = Deletion(dsn=dsn, tenant=acme, asked_by="a test", asked_at=datetime.now(UTC))
    deleted: list[Receipt] = []
    for _ in range(2):
        report = sync(dsn, Overtaken(), folder(docs), settings=SyncSettings(batch_bytes=150))
        assert [problem.code for problem in report.problems] == ["tenant_leaving"]
        assert documents(dsn) == {}
    assert verify(dsn, acme, deleted[0].receipt_id).holds
    add_tenant(dsn, acme)
    assert len(sync(dsn, Overtaken(), folder(docs)).indexed) == 12


def test_disk_is_bounded(dsn: str, docs: Path, words: WordEmbedder) -> None:
    """However few bytes may lie fetched at once, all is stored."""
    report = sync(dsn, words, folder(docs), settings=SyncSettings(batch_bytes=150))
    assert (len(report.indexed), report.failures) == (12, ())
    assert len(documents(dsn)) == 12
