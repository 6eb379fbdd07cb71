"""What a sync decides without touching anything: rules, schedules, spellings of addresses, names of files."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ingest.syncing.addresses import canonical, is_below, place
from ingest.syncing.declared import read_sources
from ingest.syncing.ownership import Ownership
from ingest.syncing.schedule import is_due
from ingest.syncing.state import LastSync
from retrieval.errors import InvalidSources
from tests.syncing import folder, website

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
NAMES = st.text(st.sampled_from("abcXYZ019-._~ ä%/&=+"), min_size=1, max_size=12)


def declared(tmp_path: Path, source: str) -> Path:
    file = tmp_path / "sources.yaml"
    file.write_text(f"sources:\n  - {{name: docs, tenant: acme, kind: folder, path: docs, {source}}}\n")
    return file


def test_a_file_declares_every_kind(tmp_path: Path) -> None:
    """Paths start at the file; what is not said has its default."""
    file = tmp_path / "sources.yaml"
    file.write_text(
        """
sources:
  - {name: docs, tenant: acme, kind: folder, path: docs, manifest: m.yaml, schedule: "*/15 * * * *"}
  - {name: papers, tenant: acme, kind: s3, bucket: papers, endpoint: "http://minio:9000", credentials: MINIO}
  - {name: code, tenant: beta, kind: git, url: "git@host.test:team/code.git", ref: main, token: CODE_TOKEN}
  - name: site
    tenant: acme
    kind: website
    url: https://docs.test/v2/
    rules: [{match: "board/", allow: [group:board]}]
    metadata: {year: 2026}
"""
    )
    found = read_sources(file)
    assert [source.kind for source in found] == ["folder", "s3", "git", "website"]
    assert vars(found[0])["path"] == tmp_path / "docs"
    assert vars(found[0])["manifest"] == tmp_path / "m.yaml"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("allow: [eng]", "not a principal"),
        ("rules: [{match: '!board/', allow: [everyone]}]", "can match"),
        ("rules: [{match: '#board/', allow: [everyone]}]", "can match"),
        ("rules: [{match: ' ', allow: [everyone]}]", "can match"),
        ("rules: [{match: 'board/', allow: []}]", "at least 1"),
        ("schedule: 'every day'", "cron"),
        ("language: english", "is not one of"),
        ("prefix: /docs", "pattern"),
        ("alow: [everyone]", "alow"),
        ("metadata: {year: .nan}", "metadata.year"),
        ("kind: ftp", "kind"),
    ],
)
def test_a_declaration_that_cannot_be_meant_is_refused(tmp_path: Path, source: str, said: str) -> None:
    """A misspelt name, a rule that can never match, a schedule that is none: the field is named."""
    text = declared(tmp_path, source).read_text().replace("kind: folder, path: docs, kind: ftp", "kind: ftp")
    (tmp_path / "sources.yaml").write_text(text)
    with pytest.raises(InvalidSources, match=said):
        read_sources(tmp_path / "sources.yaml")


@pytest.mark.parametrize(
    ("text", "said"),
    [("sources: []", "at least 1"), ("- x", "sources"), ("a: [", "expected"), ("", "sources.yaml")],
)
def test_what_is_no_list_of_sources_is_refused(tmp_path: Path, text: str, said: str) -> None:
    """One line says which file, and what is wrong with it."""
    (tmp_path / "sources.yaml").write_text(text)
    with pytest.raises(InvalidSources, match=said):
        read_sources(tmp_path / "sources.yaml")
    with pytest.raises(InvalidSources, match="No such file"):
        read_sources(tmp_path / "nowhere.yaml")


@pytest.mark.parametrize(
    "url",
    [
        "ext::sh -c 'touch /tmp/x'",
        "--upload-pack=x",
        "git://host/x",
        "https://u:secret@host/x",
        "ssh://-oProxyCommand=x",
    ],
)
def test_a_repository_that_would_run_something_is_refused(tmp_path: Path, url: str) -> None:
    """Transports that run programs, options in place of addresses, passwords in the file; no secret is repeated."""
    file = tmp_path / "sources.yaml"
    file.write_text(f'sources: [{{name: code, tenant: acme, kind: git, url: "{url}"}}]')
    with pytest.raises(InvalidSources) as caught:
        read_sources(file)
    assert "secret" not in str(caught.value)


def test_a_name_is_declared_once_for_each_tenant(tmp_path: Path) -> None:
    """Two tenants may have a source of one name, one tenant may not."""
    file = tmp_path / "sources.yaml"
    one = "{name: docs, tenant: acme, kind: folder, path: a}"
    file.write_text(f"sources: [{one}, {one.replace('acme', 'beta')}]")
    assert len(read_sources(file)) == 2
    file.write_text(f"sources: [{one}, {one}]")
    with pytest.raises(InvalidSources, match="twice"):
        read_sources(file)


def test_the_first_rule_decides() -> None:
    """Rules are held in order; `allow` is what none of them says; nothing said is nobody."""
    rules = (
        {"match": "board/public/", "allow": ("everyone",)},
        {"match": "board/", "allow": ("group:board",)},
        {"match": "*.secret.md", "allow": ("user:ada",)},
    )
    owner = Ownership(folder(Path("docs"), rules=rules, allow=("group:all",)))
    said = {
        path: next(iter(owner.says(path).acl))
        for path in ("board/public/a.md", "board/a.md", "board/x.secret.md", "x/y.secret.md", "x/a.md", "xboard/a.md")
    }
    assert list(said.values()) == ["everyone", "group:board", "group:board", "user:ada", "group:all", "group:all"]
    assert Ownership(folder(Path("docs"), rules=rules, allow=())).says("x/a.md").acl == frozenset()


@given(NAMES)
def test_an_address_has_one_spelling(name: str) -> None:
    """The canonical form of a canonical address is itself, whichever characters were escaped before."""
    assume(not name.startswith("//"))  # what follows is a host: nobody escapes those
    plain = canonical("http://h.test/docs/", quote(name, safe="/"))
    assert plain is not None
    assert canonical(plain, "") == plain
    everything = "".join(
        character if character == "/" else f"%{byte:02x}" for character in name for byte in character.encode()
    )
    assert canonical("http://h.test/docs/", everything) == plain


@given(st.lists(st.sampled_from(["..", ".", "%2e%2e", "board", "%62oard", "", "a", "%2F", "%5c"]), max_size=6))
def test_no_spelling_of_a_page_slips_past_a_rule(parts: list[str]) -> None:
    """A page below /board/, as a server would see it, is one for the rule of board/, or it is not stored at all."""
    url = canonical("http://h.test/", "http://h.test/" + "/".join([*parts, "board", "x.html"]))
    assume(url is not None and is_below(url, "http://h.test/"))
    assert url is not None
    below = Ownership(website("http://h.test/", rules=({"match": "board/", "allow": ("group:board",)},)))
    assert below.says(place(url)).acl == {"group:board"}
    assert not {".", ".."} & set(urlsplit(url).path.split("/"))


@pytest.mark.parametrize(
    "link",
    [
        "http://u@h.test/",
        "ftp://h.test/",
        "javascript:alert(1)",
        "http://[",
        "http://h.test:x/",
        "http://ä.test/",
        "http://%30/",
    ],
)
def test_what_is_no_plain_web_address_is_none(link: str) -> None:
    """Other schemes, names and passwords in it, hosts that are none."""
    assert canonical("http://h.test/", link) is None


def test_below_is_host_and_folder() -> None:
    """Another port, scheme, host or folder is elsewhere, however it begins."""
    start = "https://h.test/v2/index.html"
    elsewhere = (
        "https://h.test/v2",
        "https://h.test/v22/",
        "http://h.test/v2/",
        "https://h.test:8443/v2/",
        "https://h.test.evil/v2/",
    )
    assert is_below("https://h.test/v2/a/b", start)
    assert not any(is_below(url, start) for url in elsewhere)


@pytest.mark.parametrize(
    ("outcome", "began", "due"),
    [
        ("complete", timedelta(minutes=5), False),
        ("complete", timedelta(minutes=15), True),
        ("incomplete", timedelta(minutes=5), False),
        ("running", timedelta(seconds=1), True),
    ],
)
def test_when_a_source_is_due(outcome: str, began: timedelta, due: bool) -> None:
    """When its time has come since its last run began, and at once after a run that was killed."""
    last = LastSync(outcome=outcome, started_at=NOON + timedelta(minutes=10) - began)
    assert is_due("*/15 * * * *", last, NOON + timedelta(minutes=10)) is due
    assert is_due("*/15 * * * *", None, NOON)
