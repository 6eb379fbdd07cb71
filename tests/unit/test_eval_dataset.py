"""Datasets: what is read, and what is said of one that is wrong."""

import gzip
import json
from pathlib import Path

import pytest

from evals.beir import beir_subject
from evals.golden import golden_dataset
from retrieval.access import caller
from retrieval.errors import InvalidDataset

CORPUS = [{"_id": "a", "title": "Pumps", "text": "The pump hums."}, {"_id": "b", "title": "", "text": "A valve."}]
QUERIES = [{"_id": "1", "text": "what hums"}, {"_id": "2", "text": "never judged"}]
QRELS = "query-id\tcorpus-id\tscore\n1\ta\t2\n1\tb\t0\n"


def beir_folder(folder: Path, *, corpus: object = CORPUS, queries: object = QUERIES, qrels: str = QRELS) -> Path:
    """A small set; `corpus` and `queries` are rows, or a file's text."""
    (folder / "qrels").mkdir(parents=True)
    for name, rows in (("corpus.jsonl", corpus), ("queries.jsonl", queries)):
        text = rows if isinstance(rows, str) else "\n".join(map(json.dumps, rows))  # type: ignore[call-overload]
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "qrels" / "test.tsv").write_text(qrels, encoding="utf-8")
    return folder


def test_beir_set(tmp_path: Path) -> None:
    """A BEIR set becomes a tenant of its own, asked by everyone; a query without a relevant document is left out."""
    dataset = beir_subject(beir_folder(tmp_path / "My Set")).dataset

    [case] = dataset.cases
    assert dataset.name == "my-set"
    assert case.caller == caller("beir-my-set", ())
    assert case.grades == {"beir-my-set/a": 2, "beir-my-set/b": 0}


def test_beir_gzipped(tmp_path: Path) -> None:
    """Gzipped files say the same as plain ones."""
    plain = beir_folder(tmp_path / "plain" / "set")
    packed = beir_folder(tmp_path / "packed" / "set")
    for path in [*packed.glob("*.jsonl"), packed / "qrels" / "test.tsv"]:
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()

    assert beir_subject(packed).dataset == beir_subject(plain).dataset


def test_beir_files(tmp_path: Path) -> None:
    """Each document with a word in it is written out whole, under its id and title; an empty one is left out."""
    corpus = [*CORPUS, {"_id": "blank", "title": " ", "text": ""}]
    subject = beir_subject(beir_folder(tmp_path / "set", corpus=corpus))

    [(tenant, selection)] = subject.selections(tmp_path / "files")

    assert tenant == "beir-set"
    assert [(source.uri, source.title, source.path.read_text()) for source in selection.sources] == [
        ("beir-set/a", "Pumps", "The pump hums."),
        ("beir-set/b", "-", "A valve."),
    ]


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ({"corpus": '{"_id": "a", "text": "x"}\n\n{"_id": '}, r"corpus\.jsonl, line 3: not JSON"),
        ({"corpus": '{"_id": "a"}'}, r"corpus\.jsonl, line 1: text: Field required"),
        ({"corpus": "[1]"}, r"corpus\.jsonl, line 1: line: "),
        ({"corpus": ""}, r"corpus\.jsonl: there is no document in it"),
        ({"corpus": [CORPUS[0], CORPUS[0]]}, r"document id 'a' is used twice"),
        ({"queries": [QUERIES[0], {"_id": "1"}]}, r"queries\.jsonl, line 2: text: Field required"),
        ({"queries": [{"_id": "1", "text": "x"}], "qrels": "1\ta\t0\n"}, r"there is no question in it"),
        ({"qrels": "1\ta\n"}, r"test\.tsv, line 1: want query-id, corpus-id and a whole score"),
        ({"qrels": "1\ta\tgood\n"}, r"test\.tsv, line 1: want query-id"),
        ({"qrels": "9\ta\t1\n"}, r"test\.tsv, line 1: unknown query id '9'"),
        ({"qrels": QRELS + "1\tz\t1\n"}, r"test\.tsv, line 4: unknown document id 'z'"),
    ],
)
def test_beir_broken(tmp_path: Path, broken: dict[str, object], message: str) -> None:
    """What is wrong with a set is said with the file and the line."""
    folder = beir_folder(tmp_path / "set", **broken)  # type: ignore[arg-type]

    with pytest.raises(InvalidDataset, match=message):
        beir_subject(folder)


def test_beir_missing(tmp_path: Path) -> None:
    """A folder or a file that is not there is named."""
    with pytest.raises(InvalidDataset, match="nowhere: no such folder"):
        beir_subject(tmp_path / "nowhere")
    folder = beir_folder(tmp_path / "set")
    (folder / "qrels" / "test.tsv").unlink()
    with pytest.raises(InvalidDataset, match=r"test\.tsv: no such file"):
        beir_subject(folder)


@pytest.mark.parametrize("content", [b"no gzip at all", gzip.compress(b'{"_id": "a"}' * 99, mtime=0)[:-20]])
def test_beir_damaged_gzip(tmp_path: Path, content: bytes) -> None:
    """A damaged archive is an invalid dataset, not a crash."""
    folder = beir_folder(tmp_path / "set")
    (folder / "corpus.jsonl.gz").write_bytes(content)

    with pytest.raises(InvalidDataset, match=r"corpus\.jsonl\.gz"):
        beir_subject(folder)


def test_beir_not_utf8(tmp_path: Path) -> None:
    """A file that is not UTF-8 is an invalid dataset, not a crash."""
    folder = beir_folder(tmp_path / "set")
    (folder / "queries.jsonl").write_bytes(b'{"_id": "1", "text": "caf\xe9"}')

    with pytest.raises(InvalidDataset, match=r"queries\.jsonl: cannot be read"):
        beir_subject(folder)


def test_golden_set() -> None:
    """Every golden question that has an answer is asked by someone who may see it; no other question has one."""
    dataset = golden_dataset()

    assert {case.caller.tenant for case in dataset.cases} == {"halden", "brightwater"}
    for case in dataset.cases:
        assert case.answerable == (case.kind not in {"unanswerable", "permission_denied"}), case.case_id
        assert all(dataset.may_see(case.caller, uri) for uri in case.grades), case.case_id


def test_golden_visibility() -> None:
    """Visible is what the manifest allows to one of the person's principals, in the person's own tenant."""
    dataset = golden_dataset()
    engineer = caller("halden", ["user:ada", "group:engineering"])

    assert dataset.may_see(engineer, "halden/engineering/deploy.md")
    assert not dataset.may_see(engineer, "halden/finance/budget-2025.docx")
    assert not dataset.may_see(engineer, "brightwater/it/edi-gateway.txt")
    assert not dataset.may_see(engineer, "halden/engineering/never-written.md")
    assert not dataset.may_see(caller("nobody", []), "halden/engineering/deploy.md")


def test_golden_neutral() -> None:
    """A document that says something similar is neutral, but where the question is which version holds."""
    cases = golden_dataset().cases

    assert all(not case.neutral for case in cases if case.kind == "version")
    assert any(case.neutral for case in cases if case.kind == "keyword")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"as": "zoe"}, "asked by nobody we know, 'zoe'"),
        ({"tenant": "other"}, "of another tenant, 'other'"),
        ({"also_relevant": ["small/nothing.md"]}, r"unknown documents: small/nothing\.md"),
        ({"colour": "red"}, "line 1: colour: Extra inputs"),
    ],
)
def test_golden_broken(tmp_path: Path, change: dict[str, object], message: str) -> None:
    """A question by an unknown person or of an unknown document is refused."""
    question = {"id": "1", "tenant": "small", "as": "ada", "kind": "factual", "language": "en", "question": "Why?"}
    folder = golden_folder(tmp_path, [question | {"answers": []} | change])

    with pytest.raises(InvalidDataset, match=message):
        golden_dataset(folder)


def test_golden_id_twice(tmp_path: Path) -> None:
    """Two questions under one id are refused: their values could not be told apart."""
    question = {"id": "1", "tenant": "small", "as": "ada", "kind": "factual", "language": "en", "question": "Why?"}
    folder = golden_folder(tmp_path, [question | {"answers": []}] * 2)

    with pytest.raises(InvalidDataset, match="question id '1' is used 2 times"):
        golden_dataset(folder)


def golden_folder(folder: Path, questions: list[dict[str, object]]) -> Path:
    """One small organisation with these questions."""
    tenant = folder / "small"
    tenant.mkdir()
    (tenant / "manifest.yaml").write_text("documents: [{path: a.md, allow: [everyone]}]")
    (tenant / "people.yaml").write_text("ada: [user:ada]")
    (tenant / "questions.jsonl").write_text("\n".join(map(json.dumps, questions)))
    return folder


def test_sample() -> None:
    """A sample is the same every time, in the set's order, of the set's fingerprint, and known to be a sample."""
    dataset = golden_dataset()

    sample = dataset.sample(20)

    assert sample == dataset.sample(20)
    assert len(sample.cases) == 20
    assert list(sample.cases) == [case for case in dataset.cases if case in sample.cases]
    assert sample.sampled
    assert sample.fingerprint == dataset.fingerprint
    assert dataset.sample(10_000) is dataset


def test_fingerprint(tmp_path: Path) -> None:
    """Another judgement, question or document makes another fingerprint."""
    prints = {
        beir_subject(beir_folder(tmp_path / str(at) / "set", **changed)).dataset.fingerprint  # type: ignore[arg-type]
        for at, changed in enumerate(
            (
                {},
                {"qrels": QRELS.replace("\t2", "\t3")},
                {"queries": [QUERIES[0] | {"text": "what sings"}]},
                {"corpus": [*CORPUS, {"_id": "c", "text": "x"}]},
            )
        )
    }

    assert len(prints) == 4
