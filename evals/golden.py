"""The golden set: two small companies' documents, the people who work there, and what they ask."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field

from evals.dataset import Case, Dataset, GoldenAnswer, Subject, read_json_lines, whole_dataset
from evals.sample.build import HERE, build_sample_corpus
from ingest.sources import Request, Selection, select
from retrieval.access import Caller, TenantId, caller, tenant_id
from retrieval.errors import InvalidDataset, InvalidPrincipal

# Telling the successor from the outdated document is what these questions ask for, so ranking it low must cost.
_STRICT_KIND = "version"


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    uri: str
    quote: str = Field(min_length=1)


class _Question(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(min_length=1)
    tenant: str
    asker: str = Field(alias="as")
    kind: str
    language: str
    question: str = Field(min_length=1)
    answers: list[_Answer]
    also_relevant: list[str] = []


@dataclass(frozen=True, slots=True, kw_only=True)
class _Organisation:
    tenant: TenantId
    folder: Path
    people: dict[str, Caller]
    acls: dict[str, frozenset[str]]


def golden_subject() -> Subject:
    """The golden set that comes with Pincite, and its corpus."""
    return Subject(dataset=golden_dataset(), selections=golden_selections)


def golden_dataset(folder: Path = HERE) -> Dataset:
    """The golden questions of every organisation in the folder, each asked by its named person.

    Documents that say something similar are neutral, but for questions about a current version, where they
    count as wrong. Raises `InvalidDataset`.
    """
    organisations = [_organisation(manifest.parent) for manifest in sorted(folder.glob("*/manifest.yaml"))]
    cases = [case for organisation in organisations for case in _cases(organisation)]
    acls = {organisation.tenant: organisation.acls for organisation in organisations}
    return whole_dataset("golden", cases, acls, folder, writes_answers=True)


def golden_selections(target: Path) -> Iterator[tuple[TenantId, Selection]]:
    """Builds the corpus below `target`; yields each tenant with the files its manifest names."""
    for folder in build_sample_corpus(target):
        request = Request(paths=(), manifest=folder / "manifest.yaml", acl=frozenset(), metadata={})
        yield tenant_id(folder.name), select(request)


def _organisation(folder: Path) -> _Organisation:
    tenant = tenant_id(folder.name)
    people = {name: _person(tenant, held, folder) for name, held in _yaml(folder / "people.yaml").items()}
    documents = _yaml(folder / "manifest.yaml").get("documents")
    if not isinstance(documents, list):
        raise InvalidDataset(f"{folder / 'manifest.yaml'}: 'documents' is not a list")
    try:
        acls = {f"{tenant}/{entry['path']}": frozenset(entry["allow"]) for entry in documents}
    except (KeyError, TypeError) as error:
        raise InvalidDataset(f"{folder / 'manifest.yaml'}: every document needs 'path' and 'allow'") from error
    return _Organisation(tenant=tenant, folder=folder, people=people, acls=acls)


def _person(tenant: TenantId, held: list[str], folder: Path) -> Caller:
    try:
        return caller(tenant, held)
    except (TypeError, InvalidPrincipal) as error:
        raise InvalidDataset(f"{folder / 'people.yaml'}: {error}") from error


def _yaml(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InvalidDataset(f"{path}: no such file") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InvalidDataset(f"{path}: {error}") from error
    if not isinstance(content, dict):
        raise InvalidDataset(f"{path}: not a mapping")
    return content


def _cases(organisation: _Organisation) -> Iterator[Case]:
    path = organisation.folder / "questions.jsonl"
    for question in read_json_lines(path, _Question):
        if question.tenant != organisation.tenant:
            raise InvalidDataset(f"{path}: question {question.id!r} is of another tenant, {question.tenant!r}")
        if question.asker not in organisation.people:
            raise InvalidDataset(f"{path}: question {question.id!r} is asked by nobody we know, {question.asker!r}")
        named = {answer.uri for answer in question.answers}.union(question.also_relevant)
        if unknown := sorted(named - organisation.acls.keys()):
            raise InvalidDataset(f"{path}: question {question.id!r} names unknown documents: {', '.join(unknown)}")
        yield _case(question, organisation.people[question.asker])


def _case(question: _Question, asker: Caller) -> Case:
    similar = frozenset(question.also_relevant)
    return Case(
        case_id=question.id,
        text=question.question,
        caller=asker,
        kind=question.kind,
        grades={answer.uri: 1 for answer in question.answers},
        answers=tuple(GoldenAnswer(uri=answer.uri, quote=answer.quote) for answer in question.answers),
        neutral=frozenset() if question.kind == _STRICT_KIND else similar,
    )
