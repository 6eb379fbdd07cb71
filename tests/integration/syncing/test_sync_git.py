"""A git repository is followed: by the names of its blobs, without ever checking anything out."""

import os
import subprocess
from pathlib import Path

import pytest

from retrieval.settings import IngestSettings
from tests.fakes import WordEmbedder
from tests.syncing import documents, repository, sync, write

WHO = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "protocol.file.allow=always")
TEXTS = {"a.md": "The pump.", "sub/b.md": "The valve.", "sub/c.txt": "The gauge.", "code.bin": "\0"}


def git(repo: Path, *arguments: str) -> str:
    """Runs git in the repository, without this machine's configuration."""
    environment = {"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    done = subprocess.run(
        ["git", *WHO, *arguments], cwd=repo, env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout


def commit(repo: Path) -> None:
    git(repo, "add", "-A")
    git(repo, "commit", "-qm", "change", "--allow-empty")


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    repo = tmp_path / "repo"
    write(repo, TEXTS)
    git(repo, "init", "-q", "-b", "main", ".")
    commit(repo)
    git(repo, "config", "uploadpack.allowFilter", "true")
    return repo


@pytest.mark.parametrize("filtering", ["true", "false"])
def test_a_tip_is_followed(dsn: str, repo: Path, words: WordEmbedder, filtering: str) -> None:
    """Only blobs that changed are read, whether the server can leave out the others or not."""
    git(repo, "config", "uploadpack.allowFilter", filtering)
    source = repository(f"file://{repo}")
    assert len(sync(dsn, words, source).indexed) == 3
    commit(repo)
    second = sync(dsn, words, source)
    assert (second.unchanged, second.fetched) == (3, 0)
    write(repo, {"a.md": "The pump is red.", "new.md": "A new one."})
    (repo / "sub/c.txt").unlink()
    commit(repo)
    third = sync(dsn, words, source)
    assert (set(third.indexed), third.removed, third.fetched) == ({"code/a.md", "code/new.md"}, ("code/sub/c.txt",), 2)


def test_a_ref_is_a_branch_a_tag_or_a_commit(dsn: str, repo: Path, words: WordEmbedder) -> None:
    """Another ref is another tree; one that is not there removes nothing."""
    git(repo, "tag", "v1")
    write(repo, {"a.md": "The pump is red."})
    commit(repo)
    assert len(sync(dsn, words, repository(f"file://{repo}", ref="v1")).indexed) == 3
    assert sync(dsn, words, repository(f"file://{repo}", ref="main")).indexed == ("code/a.md",)
    report = sync(dsn, words, repository(f"file://{repo}", ref="gone"))
    assert [problem.code for problem in report.problems] == ["source_unavailable"]
    assert len(documents(dsn)) == 3


def test_links_submodules_and_large_files_are_not_followed(dsn: str, repo: Path, words: WordEmbedder) -> None:
    """A link leads nowhere, a submodule is another repository, bytes in LFS and large files are said."""
    (repo / "link.md").symlink_to("/etc/passwd")
    write(repo, {"lfs.md": "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "big.md": "x" * 2000})
    git(repo, "submodule", "--quiet", "add", f"file://{repo}", "module")
    commit(repo)
    report = sync(dsn, words, repository(f"file://{repo}"), ingest=IngestSettings(max_file_bytes=1000))
    assert {(failure.uri, failure.reason) for failure in report.failures} == {
        ("code/lfs.md", "lfs_pointer"),
        ("code/big.md", "too_large"),
    }
    assert list(documents(dsn)) == ["code/a.md", "code/sub/b.md", "code/sub/c.txt"]


def test_what_a_repository_brings_is_never_run(
    dsn: str, repo: Path, words: WordEmbedder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Filters in its attributes and this machine's own configuration are not used."""
    marker = tmp_path / "ran"
    home = tmp_path / "home"
    config = f'[filter "evil"]\n smudge = touch {marker}\n[core]\n hooksPath = {home}\n fsmonitor = "touch {marker}"\n'
    write(home, {".gitconfig": config})
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    write(repo, {".gitattributes": "*.md filter=evil\n"})
    commit(repo)
    assert len(sync(dsn, words, repository(f"file://{repo}")).indexed) == 3
    assert not marker.exists()


def test_names_that_are_not_text(dsn: str, repo: Path, words: WordEmbedder) -> None:
    """A tree may hold any bytes as a name; the others are stored."""
    (repo / os.fsdecode(b"bad-\xff.md")).write_text("Not UTF-8.")
    write(repo, {'quo"te\\.md': "Quoted.", "tab\t.md": "Tab.", "größe.md": "Groß."})
    commit(repo)
    report = sync(dsn, words, repository(f"file://{repo}"))
    assert [failure.reason for failure in report.failures] == ["bad_name"] * 2
    assert {"code/größe.md", 'code/quo"te\\.md'} < set(documents(dsn))


def test_a_repository_larger_than_its_bound_is_not_taken(dsn: str, repo: Path, words: WordEmbedder) -> None:
    """The program is stopped where it writes more than is allowed."""
    (repo / "noise.md").write_bytes(os.urandom(200_000))
    commit(repo)
    git(repo, "config", "uploadpack.allowFilter", "false")
    report = sync(dsn, words, repository(f"file://{repo}", max_bytes=50_000))
    assert ([problem.code for problem in report.problems], documents(dsn)) == (["source_unavailable"], {})


def test_a_blob_that_cannot_be_had_ends_the_run(dsn: str, repo: Path, words: WordEmbedder) -> None:
    """A repository that lost a file removes nothing."""
    sync(dsn, words, repository(f"file://{repo}"))
    (repo / "a.md").unlink()
    write(repo, {"new.md": "A new one."})
    commit(repo)
    blob = git(repo, "rev-parse", "HEAD:new.md").strip()
    (repo / ".git/objects" / blob[:2] / blob[2:]).unlink()
    report = sync(dsn, words, repository(f"file://{repo}"))
    assert ([problem.code for problem in report.problems], report.removed) == (["source_unavailable"], ())


def test_a_missing_token_is_named(dsn: str, repo: Path, words: WordEmbedder) -> None:
    """The variable that is to hold it is named, and no other source has to wait for it."""
    report = sync(dsn, words, repository(f"file://{repo}", token="NO_SUCH_TOKEN"))  # noqa: S106 - a name
    assert [problem.message for problem in report.problems] == ["code: NO_SUCH_TOKEN is not set"]
