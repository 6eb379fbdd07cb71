"""Retrieval sets in BEIR's format (Thakur et al. 2021): corpus.jsonl, queries.jsonl, qrels/test.tsv, gzipped or not."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, Field

from evals.dataset import Case, Subject, read_json_lines, read_lines, whole_dataset
from ingest.domain import SourceFile
from ingest.sources import Selection
from retrieval.access import EVERYONE, TenantId, caller, tenant_id
from retrieval.errors import InvalidDataset

_UNTITLED = "-"
"""Holds no word. The ingest path would take the file's name, which is ours and says nothing."""
_LONGEST_NAME = 50
_QRELS_HEADER = ("query-id", "corpus-id", "score")


class _CorpusLine(BaseModel):
    id: str = Field(alias="_id", min_length=1)
    title: str = ""
    text: str


class _QueryLine(BaseModel):
    id: str = Field(alias="_id", min_length=1)
    text: str = Field(min_length=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class BeirDocument:
    """A document of the set. Its uri is `<tenant>/<id>`."""

    uri: str
    title: str
    text: str


def beir_subject(folder: Path) -> Subject:
    """The set in the folder, under a tenant of its own; queries without a relevant document are left out, as is usual.

    Raises `InvalidDataset`.
    """
    if not folder.is_dir():
        raise InvalidDataset(f"{folder}: no such folder")
    name = re.sub(r"[^a-z0-9_-]", "-", folder.resolve().name.lower())[:_LONGEST_NAME]
    tenant = tenant_id(f"beir-{name}")
    documents = _documents(_file(folder, "corpus.jsonl"), tenant)
    dataset = whole_dataset(
        name,
        _cases(folder, tenant, documents),
        {tenant: dict.fromkeys(documents, frozenset({EVERYONE}))},
        folder,
        writes_answers=False,
    )
    return Subject(
        dataset=dataset, selections=lambda target: [(tenant, _selection(tenant, documents.values(), target))]
    )


def _cases(folder: Path, tenant: TenantId, documents: Mapping[str, BeirDocument]) -> list[Case]:
    asked = {query.id: query.text for query in read_json_lines(_file(folder, "queries.jsonl"), _QueryLine)}
    grades = _grades(_file(folder, "qrels/test.tsv"), tenant, asked, documents)
    return [
        Case(case_id=query, text=text, caller=caller(tenant, ()), kind="query", grades=grades[query])
        for query, text in asked.items()
        if any(grade > 0 for grade in grades.get(query, {}).values())
    ]


def _selection(tenant: TenantId, documents: Iterable[BeirDocument], target: Path) -> Selection:
    """The documents as files, which is what the ingest path takes; those without a word are left out."""
    target.mkdir(parents=True, exist_ok=True)
    sources = tuple(
        _source(document, target / f"{number}.txt")
        for number, document in enumerate(documents)
        if document.title.strip() or document.text.strip()
    )
    present = frozenset(source.uri for source in sources)
    return Selection(sources=sources, failures=(), present=present, scopes=(f"{tenant}/",))


def _source(document: BeirDocument, path: Path) -> SourceFile:
    path.write_text(document.text if document.text.strip() else document.title, encoding="utf-8")
    return SourceFile(
        path=path,
        uri=document.uri,
        title=document.title.strip() or _UNTITLED,
        acl=frozenset({EVERYONE}),
        metadata={},
        language=None,
    )


def _file(folder: Path, name: str) -> Path:
    """The file, gzipped or plain; the plain one's path when there is neither, for the message."""
    packed = folder / f"{name}.gz"
    return packed if packed.is_file() else folder / name


def _documents(path: Path, tenant: TenantId) -> dict[str, BeirDocument]:
    documents: dict[str, BeirDocument] = {}
    for line in read_json_lines(path, _CorpusLine):
        uri = f"{tenant}/{line.id}"
        if uri in documents:
            raise InvalidDataset(f"{path}: document id {line.id!r} is used twice")
        documents[uri] = BeirDocument(uri=uri, title=line.title, text=line.text)
    if not documents:
        raise InvalidDataset(f"{path}: there is no document in it")
    return documents


def _grades(
    path: Path, tenant: TenantId, queries: Mapping[str, str], documents: Mapping[str, BeirDocument]
) -> dict[str, dict[str, int]]:
    """Each query's judged uris. Raises `InvalidDataset` for a line that names a query or document there is not."""
    grades: dict[str, dict[str, int]] = defaultdict(dict)
    for number, line in read_lines(path):
        cells = tuple(line.split("\t"))
        if number == 1 and cells == _QRELS_HEADER:
            continue
        try:
            query, document, grade = cells[0], f"{tenant}/{cells[1]}", int(cells[2])
        except (IndexError, ValueError) as error:
            raise InvalidDataset(f"{path}, line {number}: want query-id, corpus-id and a whole score") from error
        if query not in queries:
            raise InvalidDataset(f"{path}, line {number}: unknown query id {query!r}")
        if document not in documents:
            raise InvalidDataset(f"{path}, line {number}: unknown document id {cells[1]!r}")
        grades[query][document] = grade
    return grades
