"""Evaluations on a real Postgres, over the served path."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from typer.testing import CliRunner

from evals.dataset import Case, Dataset
from evals.golden import golden_dataset
from evals.measures import leaks, measure
from evals.runner import ask, holds, variants
from ingest.sources import Request
from pincite import app
from retrieval.access import TenantId, caller
from retrieval.database.store import open_store
from retrieval.domain import Degradation
from retrieval.engine import Engine
from retrieval.errors import InputError, InvalidDataset
from retrieval.settings import Settings
from tests.conftest import ingest_folder
from tests.fakes import WordEmbedder
from tests.unit.test_eval_dataset import beir_folder


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    """A third of the golden questions."""
    return golden_dataset().sample(70)


async def test_golden_run(engine: Engine, dataset: Dataset) -> None:
    """Nothing leaks, every citation stands in its document, and what is asked plainly is found first."""
    asked = await ask(engine, dataset, answers=True)
    values = measure(asked)

    assert [each.case for each in asked] == list(dataset.cases)
    assert leaks(dataset, asked) == ()
    assert set(values["citation validity"].values()) == {1.0}
    plain = [each.case.case_id for each in asked if each.case.kind in {"factual", "keyword"}]
    assert plain
    assert min(values["MRR@10"][case_id] for case_id in plain) > 0


async def test_leaks_go_by_the_owner(engine: Engine, dataset: Dataset) -> None:
    """Visibility is judged by the manifest: had the owner forbidden everything, everything shown is a leak."""
    asked = await ask(engine, dataset, answers=False)
    forbidden = {
        tenant: dict.fromkeys(documents, frozenset({"user:nobody"})) for tenant, documents in dataset.acls.items()
    }

    found = leaks(replace(dataset, acls=forbidden), asked)

    shown = {(each.case.case_id, passage.uri) for each in asked for passage in each.passages}
    assert shown
    assert {(leak.case_id, leak.uri) for leak in found} == shown


async def test_variants(engine: Engine, dataset: Dataset) -> None:
    """Variants leave parts out of a copy: lexical has no vectors, dense orders by cosine, the engine stays whole."""
    few = dataset.sample(10)
    before = await ask(engine, few, answers=False)

    runs = {name: await ask(variant, few, answers=False) for name, variant in variants(engine)}

    assert list(runs) == ["dense", "lexical", "fused", "fused + reranker"]
    assert all(each.degraded == (Degradation.EMBEDDER_UNAVAILABLE,) for each in runs["lexical"])
    assert [each.passages for each in runs["fused + reranker"]] == [each.passages for each in before]
    assert [each.passages for each in runs["fused"]] != [each.passages for each in before]
    assert [each.passages for each in runs["dense"]] != [each.passages for each in before]
    assert dict(variants(engine))["fused"].reranker is None
    assert list(dict(variants(replace(engine, reranker=None)))) == ["dense", "lexical", "fused"]


@pytest.fixture
async def small(dsn: str, settings: Settings, tmp_path: Path) -> AsyncIterator[tuple[Engine, Dataset]]:
    """One document, one question, in a database that may be written to."""
    (tmp_path / "pump.txt").write_text("The red pump runs at forty bar in the cellar.")
    words = WordEmbedder()
    request = Request(paths=(tmp_path / "pump.txt",), acl=frozenset({"everyone"}))
    ingest_folder(dsn, words, "small", request)
    case = Case(
        case_id="1",
        text="How many bar does the red pump run at?",
        caller=caller("small", ()),
        kind="factual",
        grades={"pump.txt": 1},
    )
    dataset = Dataset(
        name="small",
        cases=(case,),
        acls={TenantId("small"): {"pump.txt": frozenset({"everyone"})}},
        writes_answers=True,
        fingerprint="",
    )
    async with open_store(dsn, settings.database) as store:
        yield Engine(settings=settings, store=store, embedder=words, reranker=None, llm=None), dataset


async def test_validity_is_read_from_the_document(small: tuple[Engine, Dataset], dsn: str) -> None:
    """A citation is valid while the stored document says the quote at its place, and no longer."""
    engine, dataset = small
    [asked] = await ask(engine, dataset, answers=True)
    assert asked.served is not None
    assert asked.served.valid == (True,)
    [citation] = asked.served.citations

    with psycopg.connect(dsn) as connection:
        connection.execute("UPDATE documents SET content = replace(content, 'forty', 'fifty')")
    assert not await holds(engine, asked.case.caller, citation)


async def test_validity_needs_permission(small: tuple[Engine, Dataset]) -> None:
    """A citation into a document that the person cannot open is not valid."""
    engine, dataset = small
    [asked] = await ask(engine, dataset, answers=True)
    assert asked.served is not None
    [citation] = asked.served.citations

    assert not await holds(engine, caller("stranger", ()), citation)


PUMP, VALVE = "The red pump runs at forty bar.", "A brass valve closes the pipe."


def pumps_and_valves(folder: Path, pump: str, valve: str) -> Path:
    """A set of three documents and twelve queries, the first six for the document `pump`, the others for `valve`."""
    corpus = [{"_id": "pump", "text": pump}, {"_id": "valve", "text": valve}, {"_id": "empty", "text": ""}]
    queries = [{"_id": f"p{at}", "text": f"how many bar has pump {at}"} for at in range(6)]
    queries += [{"_id": f"v{at}", "text": f"what closes pipe {at}"} for at in range(6)]
    qrels = "".join(f"{kind[0]}{at}\t{kind}\t1\n" for kind in ("pump", "valve") for at in range(6))
    return beir_folder(folder / "small", corpus=corpus, queries=queries, qrels=qrels)


@pytest.mark.model
def test_command(dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command indexes, asks, keeps a baseline, passes on the same, and exits with 1 when the next run is worse."""
    monkeypatch.setenv("PINCITE_DATABASE_URL", dsn)
    good = pumps_and_valves(tmp_path / "good", PUMP, VALVE)
    swapped = pumps_and_valves(tmp_path / "swapped", VALVE, PUMP)
    kept, result = tmp_path / "kept.json", tmp_path / "result.json"
    common = ["eval", "--data-dir", str(tmp_path / "data"), "--baseline", str(kept), "--json", str(result)]

    first = CliRunner().invoke(app, [*common, "--beir", str(good), "--save-baseline", "--ablate"])
    assert first.exit_code == 0, first.output
    found = json.loads(result.read_text())
    assert found["measures"]["nDCG@10"]["value"] == 1
    assert found["questions"][-1]["ranking"] == ["beir-small/valve", "beir-small/pump"]
    assert list(found["ablation"]) == ["dense", "lexical", "fused", "fused + reranker"]

    again = CliRunner().invoke(app, [*common, "--beir", str(good), "--sample-queries", "8"])
    assert again.exit_code == 0, again.output
    assert json.loads(result.read_text())["measures"]["nDCG@10"]["difference"] == 0

    worse = CliRunner().invoke(app, [*common, "--beir", str(swapped)])
    assert worse.exit_code == 1, worse.output
    assert [line.split(" by ")[0] for line in json.loads(result.read_text())["objections"]] == [
        "nDCG@10 fell",
        "MRR@10 fell",
    ]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--golden", "--beir", "."], InputError),
        (["--sample-queries", "5", "--save-baseline"], InputError),
        (["--beir", "nowhere"], InvalidDataset),
    ],
)
def test_command_refuses(arguments: list[str], error: type[Exception]) -> None:
    """What cannot be run is said before anything is indexed."""
    found = CliRunner().invoke(app, ["eval", *arguments])

    assert isinstance(found.exception, error)
