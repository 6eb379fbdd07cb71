"""The operator's own questions: which documents answer them, for whom. A line of JSON each."""

from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from evals.dataset import Case, Dataset, read_json_lines, whole_dataset
from retrieval.access import caller
from retrieval.errors import InputError, InvalidDataset


class _Question(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    tenant: str
    principals: list[str] = Field(default=[], alias="as")
    question: str = Field(min_length=1)
    relevant: dict[str, int] | list[str] = Field(min_length=1)

    @property
    def grades(self) -> Mapping[str, int]:
        return self.relevant if isinstance(self.relevant, dict) else dict.fromkeys(self.relevant, 1)


def read_questions(path: Path) -> Dataset:
    """The file's questions, of which rankings are measured. Raises `InvalidDataset`, naming the line."""
    cases = [_case(path, number, line) for number, line in enumerate(read_json_lines(path, _Question), start=1)]
    return whole_dataset(path.stem, cases, {}, path, writes_answers=False)


def _case(path: Path, number: int, line: _Question) -> Case:
    try:
        asker = caller(line.tenant, line.principals)
    except InputError as error:
        raise InvalidDataset(f"{path}, question {number}: {error}") from error
    return Case(case_id=str(number), text=line.question, caller=asker, kind="own", grades=line.grades)
