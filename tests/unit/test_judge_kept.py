"""Kept verdicts: read back as they were, whatever happened to the file."""

import json
from pathlib import Path

import pytest

from evals.judging.judge import verdict_key
from evals.judging.kept import KeptVerdicts
from evals.judging.submission import Submission
from evals.judging.verdict import Verdict, read_verdict
from retrieval.errors import InvalidDataset
from tests.unit.test_judge_verdicts import GOOD, submission

SUBMISSION = submission()
VERDICT = read_verdict(json.dumps(GOOD), SUBMISSION)
KEY = verdict_key("m", SUBMISSION)


def keep(path: Path, key: str = KEY, verdict: Verdict = VERDICT) -> None:
    KeptVerdicts(path).keep(key, verdict, judge="m", rubric="1")


def test_kept(tmp_path: Path) -> None:
    """What one run kept, the next one has; the folder is made when it is needed."""
    path = tmp_path / "deep" / "verdicts.jsonl"
    assert KeptVerdicts(path).get(KEY, SUBMISSION) is None
    keep(path)

    assert KeptVerdicts(path).get(KEY, SUBMISSION) == VERDICT
    assert KeptVerdicts(path).notes == ()


@pytest.mark.parametrize(
    "damage", [b"{", b"\xff\xfe\x00", b"null", b"[" * 50_000, b'{"key": "k", "verdict": {}}', b"not json at all"]
)
def test_a_damaged_line(tmp_path: Path, damage: bytes) -> None:
    """A line that is no verdict is passed over and counted; those around it stand."""
    path = tmp_path / "verdicts.jsonl"
    keep(path, "before")
    with path.open("ab") as file:
        file.write(damage + b"\n\n")
    keep(path)
    found = KeptVerdicts(path)

    assert found.get("before", SUBMISSION) == found.get(KEY, SUBMISSION) == VERDICT
    [note] = found.notes
    assert "1 lines are no verdicts" in note


@pytest.mark.parametrize("size", [1, 40, -1])
def test_a_torn_line(tmp_path: Path, size: int) -> None:
    """A line that was torn in the middle, or lost its end, costs no other: the next begins a line of its own."""
    path = tmp_path / "verdicts.jsonl"
    keep(path, "torn")
    path.write_bytes(path.read_bytes()[:size])
    keep(path)

    assert KeptVerdicts(path).get(KEY, SUBMISSION) == VERDICT


def test_two_runs_at_once(tmp_path: Path) -> None:
    """Two runs that write into one file lose nothing of each other."""
    path = tmp_path / "verdicts.jsonl"
    one, two = KeptVerdicts(path), KeptVerdicts(path)
    for at in range(20):
        (one, two)[at % 2].keep(str(at), VERDICT, judge="m", rubric="1")

    found = KeptVerdicts(path)
    assert all(found.get(str(at), SUBMISSION) for at in range(20))
    assert found.notes == ()


def test_a_verdict_on_something_else(tmp_path: Path) -> None:
    """A kept verdict that does not speak of this submission's sentences is not taken for one, whatever its key."""
    path = tmp_path / "verdicts.jsonl"
    keep(path)

    assert KeptVerdicts(path).get(KEY, submission(sentences=("One.",))) is None


@pytest.mark.parametrize(
    "other",
    [
        submission("How many weeks?"),
        submission(sentences=("Thirty. [1]", "More at night!")),
        submission(text="Leave is 31 days."),
        submission(quote="30"),
    ],
)
def test_the_key(other: Submission) -> None:
    """Another judge, question, answer, passage or citation is another key."""
    assert verdict_key("m", SUBMISSION) == KEY
    assert verdict_key("n", SUBMISSION) != KEY
    assert verdict_key("m", other) != KEY


def test_a_file_that_is_none(tmp_path: Path) -> None:
    """A path that cannot be read, or written, is an error: a run must not pay for verdicts and lose them."""
    with pytest.raises(InvalidDataset, match="cannot be read"):
        KeptVerdicts(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidDataset, match="cannot be"):
        keep(tmp_path / "file" / "verdicts.jsonl")
