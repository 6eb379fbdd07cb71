"""An object store is followed: by etag and size, its keys taken as they are, however it fails."""

from collections.abc import Iterator
from typing import Any

import pytest

from ingest.syncing.bucket import open_bucket
from ingest.syncing.domain import Entry
from retrieval.errors import InvalidSources, SourceUnavailable
from retrieval.settings import IngestSettings, SyncSettings
from tests.fakes import WordEmbedder
from tests.s3_server import S3Server, s3_server
from tests.syncing import bucket, documents, sync


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    monkeypatch.setenv("TEST_S3_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("TEST_S3_SECRET_ACCESS_KEY", "b")
    with s3_server() as running:
        yield running


def put(store: S3Server, **texts: str) -> None:
    client = store.client()
    for name, text in texts.items():
        client.put_object(Bucket="papers", Key=f"{name}.md", Body=text.encode())


def listing(store: S3Server, **settings: Any) -> list[Any]:
    with open_bucket(bucket(store.url), SyncSettings(**settings), IngestSettings()) as opened:
        return list(opened.entries({}, frozenset()))


def test_objects_are_read_once(dsn: str, store: S3Server, words: WordEmbedder) -> None:
    """The second run reads no object, the third only the changed one; what is gone goes."""
    put(store, a="The pump.", b="The valve.", c="The gauge.")
    assert len(sync(dsn, words, bucket(store.url)).indexed) == 3
    store.objects.clear()
    second = sync(dsn, words, bucket(store.url))
    assert (second.unchanged, second.fetched, store.objects) == (3, 0, [])
    put(store, b="The valve leaks.")
    store.client().delete_object(Bucket="papers", Key="c.md")
    third = sync(dsn, words, bucket(store.url))
    assert (third.indexed, third.removed, store.objects) == (("papers/b.md",), ("papers/c.md",), ["b.md"])


def test_only_the_folder_is_followed(dsn: str, store: S3Server, words: WordEmbedder) -> None:
    """Keys beside the folder, also those that begin alike, are none of the source's."""
    for key in ("in/a.md", "in/sub/b.md", "in/", "inside.md", "out.md"):
        store.client().put_object(Bucket="papers", Key=key, Body=b"The pump.")
    report = sync(dsn, words, bucket(store.url, folder="/in/", rules=({"match": "sub/", "allow": ("group:b",)},)))
    assert documents(dsn) == {"papers/a.md": ["everyone"], "papers/sub/b.md": ["group:b"]}
    assert report.failures == ()


def test_hostile_keys_are_named_and_the_others_stored(dsn: str, store: S3Server, words: WordEmbedder) -> None:
    """A key that is no plain path is a failure of its own; it hides nothing, and writes nowhere."""
    for key in ("a/../../../etc/x.md", "/abs.md", "a//b.md", "./c.md", "t\ttab.md", "é ü%2F&?.md", "good.md"):
        store.client().put_object(Bucket="papers", Key=key, Body=b"The pump.")
    store.client().put_object(Bucket="papers", Key="e\u0301 u\u0308%2F&?.md", Body=b"Another spelling.")
    report = sync(dsn, words, bucket(store.url))
    assert [failure.reason for failure in report.failures] == ["bad_name"] * 5
    assert list(documents(dsn)) == ["papers/e\u0301 u\u0308%2F&?.md", "papers/good.md", "papers/é ü%2F&?.md"]
    assert sync(dsn, words, bucket(store.url)).unchanged == 3


@pytest.mark.parametrize("body", [b"<Error><Code>InternalError</Code></Error>", b"<ListBucketResult><Contents><Key>a"])
def test_a_listing_that_breaks_on_its_second_page_removes_nothing(
    dsn: str, store: S3Server, words: WordEmbedder, monkeypatch: pytest.MonkeyPatch, body: bytes
) -> None:
    """What the first page said is done; nothing is taken for gone."""
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "2")
    put(store, a="The pump.", b="The valve.", z="The last.")
    assert len(sync(dsn, words, bucket(store.url)).indexed) == 3
    store.client().delete_object(Bucket="papers", Key="a.md")
    put(store, **{"0": "The first."})
    store.spoil = lambda _path, query: (
        (500 if b"Error" in body else 200, body) if "continuation-token" in query else None
    )
    report = sync(dsn, words, bucket(store.url))
    assert [problem.code for problem in report.problems] == ["source_unavailable"]
    assert (report.indexed, report.removed) == (("papers/0.md",), ())
    assert list(documents(dsn)) == ["papers/0.md", "papers/a.md", "papers/b.md", "papers/z.md"]
    store.spoil = lambda _path, _query: None
    assert sync(dsn, words, bucket(store.url)).removed == ("papers/a.md",)


def test_a_body_that_breaks_off_is_never_stored(dsn: str, store: S3Server, words: WordEmbedder) -> None:
    """A truncated object fails alone, keeps its last text, and is read again in the next run."""
    put(store, a="The pump.", b="The valve.")
    sync(dsn, words, bucket(store.url))
    put(store, a="The pump is red.", b="The valve is blue.")
    store.spoil = lambda path, _query: (200, b"The pump") if path.endswith("/a.md") else None
    report = sync(dsn, words, bucket(store.url))
    assert [(failure.uri, failure.reason) for failure in report.failures] == [("papers/a.md", "fetch_failed")]
    assert report.indexed == ("papers/b.md",)
    store.spoil = lambda _path, _query: None
    assert sync(dsn, words, bucket(store.url)).indexed == ("papers/a.md",)


def test_an_object_that_changes_after_the_listing_waits_for_the_next_run(store: S3Server, tmp_path: Any) -> None:
    """Its bytes are only those that were listed; one that went away, or is forbidden, is said."""
    put(store, a="The pump.", b="The valve.", c="The gauge.")
    with open_bucket(bucket(store.url), SyncSettings(), IngestSettings(max_file_bytes=9)) as opened:
        entries = [entry for entry in opened.entries({}, frozenset()) if isinstance(entry, Entry)]
        put(store, a="The pump is red.")
        store.client().delete_object(Bucket="papers", Key="b.md")
        failures = list(opened.fetch(entries, tmp_path))
    assert [getattr(each, "reason", "") for each in failures] == ["changed_meanwhile", "changed_meanwhile", "too_large"]


def test_a_store_that_is_away_or_does_not_know_us(store: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """No bucket, no server, no keys: each is said without a secret."""
    for declared in (bucket(store.url, bucket="nothing"), bucket("http://127.0.0.1:1")):
        with (
            open_bucket(declared, SyncSettings(timeout=1), IngestSettings()) as opened,
            pytest.raises(SourceUnavailable),
        ):
            list(opened.entries({}, frozenset()))
    monkeypatch.delenv("TEST_S3_SECRET_ACCESS_KEY")
    with pytest.raises(InvalidSources, match="TEST_S3_SECRET_ACCESS_KEY is not set"):
        listing(store)
