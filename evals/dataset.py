"""What an evaluation asks and what it knows: questions, the people who ask, judgements, who may see what.

Judgements name a document's uri, never a chunk: they outlive every change of how documents are cut.
"""

import gzip
import hashlib
import json
import random
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from ingest.sources import Selection
from retrieval.access import Caller, TenantId
from retrieval.errors import InvalidDataset

SEED = 20_250_101
"""Every draw in this room starts from it: the same run gives the same sample and the same p-values."""

Acls = Mapping[TenantId, Mapping[str, frozenset[str]]]
Line = TypeVar("Line", bound=BaseModel)


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldenAnswer:
    """A document that answers, and the words in it that do (runs of white space count as one space)."""

    uri: str
    quote: str

    def stands_in(self, uri: str, text: str) -> bool:
        """Whether this text of this document holds the words."""
        return uri == self.uri and _collapsed(self.quote) in _collapsed(text)

    def is_cited_by(self, uri: str, quote: str) -> bool:
        """Whether a quote of this document holds the words, or is a part of them."""
        return self.stands_in(uri, quote) or (uri == self.uri and _collapsed(quote) in _collapsed(self.quote))


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A question as one person asks it, with what is known about its answer.

    `grades` holds each relevant uri's gain (≥ 1), and 0 for what was judged to be beside the point; `neutral`
    uris are neither: they are left out of a ranking before it is scored. Without `grades` there is no answer,
    and a refusal is the right thing to say.
    """

    case_id: str
    text: str
    caller: Caller
    kind: str
    grades: Mapping[str, int]
    answers: tuple[GoldenAnswer, ...] = ()
    neutral: frozenset[str] = frozenset()

    @property
    def answerable(self) -> bool:
        return any(grade > 0 for grade in self.grades.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """Cases, and each tenant's documents with who may see them, as their owner says: not as the database does.

    `writes_answers`: answers are asked for and judged too, not only rankings. `fingerprint` changes with any
    question, judgement, asker or document name of the whole set, sampled or not.
    """

    name: str
    cases: tuple[Case, ...]
    acls: Acls
    writes_answers: bool
    fingerprint: str
    sampled: bool = False

    def may_see(self, caller: Caller, uri: str) -> bool:
        """True when the uri is a document of the caller's tenant whose ACL the caller matches."""
        acl = self.acls.get(caller.tenant, {}).get(uri)
        return acl is not None and caller.may_see(acl)

    def sample(self, size: int) -> "Dataset":
        """`size` cases drawn with a fixed seed, in their old order; all of them when there are no more."""
        if size >= len(self.cases):
            return self
        drawn = sorted(random.Random(SEED).sample(range(len(self.cases)), size))  # noqa: S311 - not a secret
        return replace(self, cases=tuple(self.cases[at] for at in drawn), sampled=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A dataset and its corpus: `selections` writes the files into a folder and says what to ingest for whom."""

    dataset: Dataset
    selections: Callable[[Path], Iterable[tuple[TenantId, Selection]]]


def whole_dataset(name: str, cases: Sequence[Case], acls: Acls, where: Path, *, writes_answers: bool) -> Dataset:
    """A set with all of its questions. Raises `InvalidDataset` when there are none or an id is used twice."""
    if not cases:
        raise InvalidDataset(f"{where}: there is no question in it")
    for case_id, uses in Counter(case.case_id for case in cases).items():
        if uses > 1:
            raise InvalidDataset(f"{where}: question id {case_id!r} is used {uses} times")
    return Dataset(
        name=name,
        cases=tuple(cases),
        acls=acls,
        writes_answers=writes_answers,
        fingerprint=_fingerprint(cases, acls),
    )


def _fingerprint(cases: Sequence[Case], acls: Acls) -> str:
    digest = hashlib.sha256()
    for case in cases:
        asker = [case.caller.tenant, sorted(case.caller.principals)]
        answers = [[answer.uri, answer.quote] for answer in case.answers]
        known = [sorted(case.grades.items()), sorted(case.neutral), answers]
        digest.update(json.dumps([case.case_id, case.text, case.kind, asker, known]).encode())
    for tenant, documents in sorted(acls.items()):
        digest.update(json.dumps([tenant, sorted(documents)]).encode())
    return digest.hexdigest()[:16]


def _collapsed(text: str) -> str:
    return " ".join(text.split())


def read_json_lines(path: Path, line_type: type[Line]) -> Iterator[Line]:
    """Each line that is not blank, checked. Raises `InvalidDataset` with the file and the line's number."""
    for number, line in read_lines(path):
        try:
            content: Any = json.loads(line)
            yield line_type.model_validate(content)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"])) or "line"
            raise InvalidDataset(f"{path}, line {number}: {place}: {first['msg']}") from error
        except (ValueError, RecursionError) as error:
            raise InvalidDataset(f"{path}, line {number}: not JSON: {error}") from error


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Numbered lines (from 1) that are not blank, gunzipped where the name ends in .gz. Raises `InvalidDataset`."""
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8-sig") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield number, line.rstrip("\r\n")
    except FileNotFoundError as error:
        raise InvalidDataset(f"{path}: no such file") from error
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise InvalidDataset(f"{path}: cannot be read: {error}") from error
