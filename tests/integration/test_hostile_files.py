"""Files made to hurt: each ends in its code, and the processes that read them live on."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from ingest.domain import Failure, SourceFile
from ingest.examining import Parsed, Unchanged, examine, open_parsers
from retrieval.settings import IngestSettings
from tests.hostile_files import CORPUS, LARGEST_FILE, LONGEST_TEXT, READABLE, Hostile

DEADLINE = 60.0  # seconds for one file; on a loaded machine the worst takes a tenth


def sources(paths: Iterable[Path]) -> list[SourceFile]:
    return [
        SourceFile(path=path, uri=path.name, title=None, acl=frozenset({"everyone"}), metadata={}, language=None)
        for path in paths
    ]


def outcomes(paths: Iterable[Path], settings: IngestSettings) -> dict[str, str]:
    """What became of each file, read in two processes: the reason it failed for, or `READABLE`."""
    found: dict[str, str] = {}
    with open_parsers(2) as parsers:
        for outcome in examine(parsers, sources(paths), lambda _: None, "recipe", settings):
            match outcome:
                case Failure(uri=uri, reason=reason):
                    found[uri] = reason
                case Parsed(source=source) | Unchanged(source=source):
                    found[source.uri] = READABLE
    return found


@pytest.fixture(scope="module")
def reasons(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The whole corpus, read once."""
    folder = tmp_path_factory.mktemp("hostile")
    for hostile in CORPUS:
        (folder / str(hostile)).write_bytes(hostile.make())
    settings = IngestSettings(max_file_bytes=LARGEST_FILE, max_text_chars=LONGEST_TEXT, parse_timeout=DEADLINE)
    return outcomes((folder / str(hostile) for hostile in CORPUS), settings)


@pytest.mark.parametrize("hostile", CORPUS, ids=str)
def test_a_hostile_file_ends_in_its_code(hostile: Hostile, reasons: dict[str, str]) -> None:
    """No file hangs or kills the process that reads it: each is read, or refused with the code for what it is."""
    assert reasons[str(hostile)] == hostile.code


def test_the_corpus_is_as_large_as_promised() -> None:
    """At least sixty files, no two of one name."""
    assert len({str(hostile) for hostile in CORPUS}) == len(CORPUS) >= 60


def test_a_file_that_takes_too_long_is_given_up_and_the_others_go_on(tmp_path: Path) -> None:
    """The process that is stuck is ended, the next file is read by a new one; what is gone is said to be."""
    slow, note, gone = tmp_path / "slow.html", tmp_path / "note.txt", tmp_path / "gone.txt"
    slow.write_bytes(b"<p>" + b"<b>x</b> <i>y</i>" * 400_000)
    note.write_text("A pump.")
    found = outcomes([slow, note, gone], IngestSettings(parse_timeout=3))
    assert found == {"slow.html": "too_slow", "note.txt": READABLE, "gone.txt": "unreadable_file"}
