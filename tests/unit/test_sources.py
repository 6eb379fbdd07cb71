"""Which files a run is about: paths, manifests, globs, names."""

import json
import os
import unicodedata
from pathlib import Path

import pytest

from ingest.sources import Request, Selection, select
from retrieval.errors import InputError, InvalidManifest

EVERYONE = frozenset({"everyone"})
COMPOSED, DECOMPOSED = unicodedata.normalize("NFC", "résumé"), unicodedata.normalize("NFD", "résumé")


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    """Two documents, one of them in a folder inside."""
    docs = tmp_path / "docs"
    (docs / "sub").mkdir(parents=True)
    (docs / "pump.md").write_text("# Pumps\n")
    (docs / "sub" / "leave.txt").write_text("Vacation is 25 days.")
    return docs


def listed(docs: Path, *entries: dict[str, object], name: str = "manifest.jsonl") -> Path:
    """A manifest in the folder: JSON lines, or the YAML that JSON is."""
    manifest = docs / name
    lines = map(json.dumps, entries)
    manifest.write_text("\n".join(lines) if manifest.suffix == ".jsonl" else json.dumps({"documents": entries}))
    return manifest


def uris(selection: Selection) -> list[str]:
    return [source.uri for source in selection.sources]


def reasons(selection: Selection) -> dict[str, str]:
    return {failure.uri: failure.reason for failure in selection.failures}


def refusal(manifest: Path) -> str:
    """What is said of a manifest that cannot be used."""
    with pytest.raises(InvalidManifest) as refused:
        select(Request(manifest=manifest))
    said = str(refused.value)
    assert said.startswith(f"{manifest}: ")
    assert "\n" not in said
    return said.removeprefix(f"{manifest}: ")


@pytest.mark.parametrize("with_paths", [True, False], ids=["beside paths", "alone"])
@pytest.mark.parametrize("name", ["manifest.jsonl", "manifest.yaml"])
@pytest.mark.parametrize("path", ["./pump.md", "sub/../pump.md", "sub//leave.txt"])
def test_a_manifest_means_the_file_however_its_path_is_written(
    docs: Path, path: str, name: str, with_paths: bool
) -> None:
    """Dots and double slashes in a path are put right: the entry's permissions reach its file, under its plain uri."""
    manifest = listed(docs, {"path": path, "allow": ["group:eng"]}, name=name)
    selection = select(Request(paths=(docs,) if with_paths else (), manifest=manifest, acl=EVERYONE))
    assert not selection.failures
    uri = "docs/sub/leave.txt" if "leave" in path else "docs/pump.md"
    assert [source.acl for source in selection.sources if source.uri == uri] == [{"group:eng"}]


@pytest.mark.parametrize("with_paths", [True, False], ids=["beside paths", "alone"])
@pytest.mark.parametrize(("on_disk", "written"), [(COMPOSED, DECOMPOSED), (DECOMPOSED, COMPOSED)])
def test_accents_are_the_same_however_they_are_composed(
    docs: Path, on_disk: str, written: str, with_paths: bool
) -> None:
    """A file is found by its manifest's spelling, and has one uri whichever way a run comes upon it."""
    folder = docs.rename(docs.with_name(on_disk))
    file = folder / f"{on_disk}.md"
    file.write_text("# Ada\n")
    manifest = listed(folder, {"path": f"{written}.md", "allow": ["group:hr"]})
    selection = select(Request(paths=(folder,) if with_paths else (), manifest=manifest, acl=EVERYONE))
    assert not selection.failures
    [source] = [source for source in selection.sources if source.path.name == file.name]
    assert source.uri == f"{COMPOSED}/{COMPOSED}.md"
    assert selection.scopes == (f"{COMPOSED}/",)
    assert source.acl == {"group:hr"}


@pytest.mark.parametrize("name", ["manifest.jsonl", "manifest.yaml"])
def test_a_file_listed_twice_is_refused(docs: Path, name: str) -> None:
    """Two entries for one file would contradict each other: the second is named, however it is written."""
    manifest = listed(docs, {"path": "pump.md"}, {"path": "sub/../pump.md"}, name=name)
    assert refusal(manifest) == "sub/../pump.md: is listed twice"


@pytest.mark.parametrize("allow", [None, []])
@pytest.mark.parametrize(
    ("name", "where"), [("manifest.jsonl", "line 1: allow: "), ("manifest.yaml", "documents.0.allow: ")]
)
def test_an_allow_that_names_nobody_is_refused(docs: Path, name: str, where: str, allow: object) -> None:
    """A forgotten list of people must not fall back to the command line's."""
    assert refusal(listed(docs, {"path": "pump.md", "allow": allow}, name=name)).startswith(where)


@pytest.mark.parametrize("name", ["manifest.jsonl", "manifest.yaml"])
@pytest.mark.parametrize("path", ["/etc/passwd", "../docs/pump.md", "sub/../../secret.md", ".."])
def test_a_manifest_reaches_no_further_than_its_folder(docs: Path, path: str, name: str) -> None:
    """Absolute paths, and those that lead out, are refused even where a file is."""
    assert refusal(listed(docs, {"path": path}, name=name)) == f"{path}: lies outside the manifest's folder"


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"allow": ["eng"]}, "pump.md: not a principal"),
        ({"metadata": {"site": "\x00"}}, "pump.md: metadata"),
        ({"language": "xx"}, "pump.md: language"),
    ],
)
def test_the_entry_at_fault_is_named(docs: Path, entry: dict[str, object], said: str) -> None:
    """In a manifest of thousands, the message says which document it is about."""
    manifest = listed(docs, {"path": "sub/leave.txt"}, {"path": "pump.md", **entry})
    assert refusal(manifest).startswith(said)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("m.yaml", b"documents: [", "line 1, column 13"),
        ("m.yaml", b"documents:\n- path: a\n - b", "line 3"),
        ("m.yaml", b"", "wants 'documents:'"),
        ("m.yaml", b"- path: pump.md", "wants 'documents:'"),
        ("m.yaml", b"documents:\n- path: pump.md\n  title: 2026-01-01", "documents.0.title"),
        ("m.yaml", b"documents: \xff", "utf-8"),
        ("m.yaml", b"[" * 10_000, "recursion"),
        ("m.jsonl", b'{"path": "pump.md"}\n\n{"path": ', "line 3"),
        ("m.jsonl", b'{"path": "pump.md"}\n["sub/leave.txt"]', "line 2"),
        ("m.jsonl", b'{"path": "pump.md", "metadata": {"weight": 1e999}}', "line 1: metadata.weight"),
        ("m.jsonl", b'{"path": "\xff"}', "utf-8"),
        ("m.jsonl", b"[" * 100_000, "recursion"),
    ],
)
def test_a_broken_manifest_is_one_line(docs: Path, name: str, content: bytes, said: str) -> None:
    """Whatever is wrong with its syntax or encoding, a manifest is refused in one line that says where."""
    manifest = docs / name
    manifest.write_bytes(content)
    assert said in refusal(manifest)


def test_a_manifest_that_cannot_be_read_is_one_line(docs: Path) -> None:
    """A manifest that is missing, or is a folder, is refused as any other bad one."""
    assert refusal(docs / "none.yaml") == "No such file or directory"
    assert refusal(docs / "sub") == "Is a directory"


def test_a_line_of_json_lines_ends_with_a_newline_only(docs: Path) -> None:
    """A byte order mark, Windows newlines and Unicode's line separators inside a title break no entry."""
    manifest = docs / "manifest.jsonl"
    title = "Pumps\u2028and\u0085valves"
    lines = [json.dumps({"path": "pump.md", "title": title}, ensure_ascii=False), '{"path": "sub/leave.txt"}', ""]
    manifest.write_bytes("\r\n".join(lines).encode("utf-8-sig"))
    selection = select(Request(manifest=manifest, acl=EVERYONE))
    assert [source.title for source in selection.sources] == [title, None]


@pytest.mark.parametrize("with_paths", [True, False], ids=["beside paths", "alone"])
def test_a_listed_file_that_is_not_there_is_a_failure(docs: Path, with_paths: bool) -> None:
    """A misspelt entry is reported, and the documents that are there are taken."""
    manifest = listed(docs, {"path": "pumps.md", "allow": ["group:eng"]}, {"path": "pump.md"})
    selection = select(Request(paths=(docs,) if with_paths else (), manifest=manifest, acl=EVERYONE))
    [failure] = selection.failures
    assert (failure.reason, Path(failure.uri).name) == ("not_found", "pumps.md")
    assert "docs/pump.md" in uris(selection)


def test_entries_outside_the_given_paths_are_no_failures(docs: Path) -> None:
    """A run over a part of the folder says nothing of what the manifest lists elsewhere."""
    manifest = listed(docs, {"path": "gone.md"}, {"path": "sub/leave.txt", "title": "Leave"})
    selection = select(Request(paths=(docs / "sub",), manifest=manifest, acl=EVERYONE))
    assert [(source.uri, source.title) for source in selection.sources] == [("sub/leave.txt", "Leave")]
    assert not selection.failures


def test_a_prefix_is_the_first_part_of_every_uri(docs: Path) -> None:
    """With a prefix, folders, single files and manifests live under it, and so does what may be pruned."""
    found = ["old/hr/pump.md", "old/hr/sub/leave.txt"]
    walked = select(Request(paths=(docs,), acl=EVERYONE, prefix="old/hr"))
    manifest = listed(docs, {"path": "pump.md"}, {"path": "sub/leave.txt"})
    named = select(Request(manifest=manifest, acl=EVERYONE, prefix="old/hr"))
    assert uris(walked) == uris(named) == found
    assert walked.scopes == named.scopes == ("old/hr/",)
    single = select(Request(paths=(docs / "pump.md",), acl=EVERYONE, prefix="old"))
    assert (uris(single), single.scopes) == (["old/pump.md"], ())


@pytest.mark.parametrize(
    ("include", "exclude", "taken"),
    [
        (("*.md",), (), ["docs/pump.md"]),
        (("sub/",), (), ["docs/sub/leave.txt"]),
        (("/*.txt",), (), []),
        ((), ("sub/**",), ["docs/pump.md"]),
        (("*.md", "*.txt"), ("*.md",), ["docs/sub/leave.txt"]),
    ],
)
@pytest.mark.parametrize("by_manifest", [False, True], ids=["paths", "manifest"])
def test_globs_choose_files(
    docs: Path, include: tuple[str, ...], exclude: tuple[str, ...], taken: list[str], by_manifest: bool
) -> None:
    """Globs mean what they mean to git, from the folder down; what they leave out is at the source all the same."""
    manifest = listed(docs, {"path": "pump.md"}, {"path": "sub/leave.txt"}) if by_manifest else None
    paths = () if by_manifest else (docs,)
    selection = select(Request(paths=paths, manifest=manifest, acl=EVERYONE, include=include, exclude=exclude))
    assert uris(selection) == taken
    assert selection.present == {"docs/pump.md", "docs/sub/leave.txt"}


@pytest.mark.parametrize("glob", ["!", "pump\\"])
def test_a_bad_glob_is_refused(docs: Path, glob: str) -> None:
    """A pattern that means nothing is refused, and not taken for one that matches nothing."""
    for request in (Request(paths=(docs,), include=(glob,)), Request(paths=(docs,), exclude=(glob,))):
        with pytest.raises(InputError, match="not a glob"):
            select(request)


def test_a_folder_keeps_the_name_it_is_called_by(docs: Path) -> None:
    """A symlink to a folder gives its own name to the uris; one inside a folder is not followed."""
    current = docs.parent / "current"
    current.symlink_to(docs)
    (docs / "loop").symlink_to(docs)
    assert uris(select(Request(paths=(current,), acl=EVERYONE))) == ["current/pump.md", "current/sub/leave.txt"]


def test_links_lead_to_no_file_outside_the_folder(docs: Path) -> None:
    """A link to a file is a document when the file lies in the folder, and is passed over when it does not."""
    outside = docs.parent / "secret.md"
    outside.write_text("# Secret\n")
    (docs / "leak.md").symlink_to(outside)
    (docs / "again.md").symlink_to(docs / "pump.md")
    assert uris(select(Request(paths=(docs,), acl=EVERYONE))) == [
        "docs/again.md",
        "docs/pump.md",
        "docs/sub/leave.txt",
    ]


def test_a_folder_given_twice_is_one(docs: Path) -> None:
    """Naming a folder again, spelt otherwise, adds nothing and reports nothing."""
    selection = select(Request(paths=(docs, docs / "sub" / "..", docs), acl=EVERYONE))
    assert uris(selection) == ["docs/pump.md", "docs/sub/leave.txt"]
    assert not selection.failures


def test_a_folder_inside_another_stands_for_itself(docs: Path) -> None:
    """Each folder given names its documents from itself down."""
    selection = select(Request(paths=(docs, docs / "sub"), acl=EVERYONE))
    assert uris(selection) == ["docs/pump.md", "docs/sub/leave.txt", "sub/leave.txt"]
    assert selection.scopes == ("docs/", "sub/")


def test_two_files_of_one_uri_are_not_mixed_up(docs: Path) -> None:
    """When folders of the same name meet, the first keeps the uri and the second is a failure that names it."""
    other = docs.parent / "other" / "docs"
    other.mkdir(parents=True)
    (other / "pump.md").write_text("# Other pumps\n")
    selection = select(Request(paths=(docs, other), acl=EVERYONE))
    assert reasons(selection) == {"docs/pump.md": "duplicate_uri"}
    assert selection.sources[0].path == docs / "pump.md"
    assert str(docs / "pump.md") in selection.failures[0].message


def test_odd_names_are_names(docs: Path) -> None:
    """Spaces, quotes, percent signs and other scripts are kept; a hidden file is left alone."""
    odd = ["50% #1? 'x'.md", "日本語.txt", "a:b\\c.html"]
    for name in [*odd, ".hidden.md", "~lock.xyz"]:
        (docs / name).write_text("Some words.")
    found = uris(select(Request(paths=(docs,), acl=EVERYONE)))
    assert set(found) == {*(f"docs/{name}" for name in odd), "docs/pump.md", "docs/sub/leave.txt"}


def test_a_name_that_is_not_text_is_a_failure(docs: Path) -> None:
    """A name that is no UTF-8, or too long a uri, is reported in words that can be printed; the others are taken."""
    (docs / os.fsdecode(b"caf\xe9.md")).write_text("Latin-1")
    deep = docs.joinpath(*["d" * 200] * 3)
    deep.mkdir(parents=True)
    (deep / "a.md").write_text("# Deep\n")
    selection = select(Request(paths=(docs,), acl=EVERYONE))
    assert uris(selection) == ["docs/pump.md", "docs/sub/leave.txt"]
    assert set(reasons(selection).values()) == {"bad_name"}
    assert len(json.dumps(reasons(selection), ensure_ascii=False).encode()) > 600
    assert "docs/caf?.md" in reasons(selection)


def test_a_manifest_is_no_document(docs: Path) -> None:
    """YAML and JSON lines are documents, but not the manifest that lies among them."""
    (docs / "settings.yaml").write_text("a: b")
    manifest = listed(docs, {"path": "pump.md"}, name="manifest.yaml")
    selection = select(Request(paths=(docs,), manifest=manifest, acl=EVERYONE))
    assert uris(selection) == ["docs/pump.md", "docs/settings.yaml", "docs/sub/leave.txt"]
