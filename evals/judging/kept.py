"""Verdicts that were had before, in a file of one JSON object per line.

Each is appended by one write as soon as it is there: whoever kills a run loses at most the line being written, two
runs at once lose none, and a file that is committed changes by whole lines.
"""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from evals.judging.submission import Submission
from evals.judging.verdict import Verdict
from retrieval.errors import InvalidDataset


class _Line(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    key: str
    judge: str
    rubric: str
    verdict: Verdict


class KeptVerdicts:
    """The verdicts in a file, and those put in since. Raises `InvalidDataset` where it cannot be read or written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._unreadable = 0
        self._verdicts: dict[str, Verdict] = {}
        content = self._read()
        self._torn = bool(content) and not content.endswith(b"\n")
        for line in filter(bytes.strip, content.split(b"\n")):
            self._take(line)

    @property
    def notes(self) -> tuple[str, ...]:
        """What to mind of the file."""
        passed_over = f"{self.path}: {self._unreadable} lines are no verdicts and were passed over"
        return (passed_over,) if self._unreadable else ()

    def get(self, key: str, submission: Submission) -> Verdict | None:
        """The verdict of that key, where it speaks of this very submission."""
        verdict = self._verdicts.get(key)
        return verdict if verdict is not None and verdict.fits(submission) else None

    def keep(self, key: str, verdict: Verdict, *, judge: str, rubric: str) -> None:
        """Writes it at once."""
        self._verdicts[key] = verdict
        line = _Line(key=key, judge=judge, rubric=rubric, verdict=verdict).model_dump_json().encode() + b"\n"
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab", buffering=0) as file:
                file.write(b"\n" + line if self._torn else line)
        except OSError as error:
            raise InvalidDataset(f"{self.path}: verdicts cannot be written: {error.strerror}") from error
        self._torn = False

    def _read(self) -> bytes:
        try:
            return self.path.read_bytes()
        except FileNotFoundError:
            return b""
        except OSError as error:
            raise InvalidDataset(f"{self.path}: verdicts cannot be read: {error.strerror}") from error

    def _take(self, line: bytes) -> None:
        try:
            read = _Line.model_validate_json(line)
        except ValidationError:
            self._unreadable += 1
        else:
            self._verdicts[read.key] = read.verdict
