"""`pincite eval --judge-model`: what the command adds, and what it leaves alone."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from evals.cli import _conclude, _judge
from evals.dataset import Dataset
from evals.evaluation import Evaluation
from evals.judging.options import KEY_VARIABLE, JudgeOptions, judge_options, judge_settings
from evals.judging.verdict import Dimension
from evals.measures import measure
from pincite import app
from retrieval.errors import InputError
from retrieval.settings import LlmSettings
from tests.integration.test_eval import PUMP, VALVE, pumps_and_valves
from tests.llm_servers.judges import by, literal
from tests.llm_servers.scripted import ScriptedLlm, scripted_llm, status
from tests.unit.test_judge_controls import RUN

EVALUATION = Evaluation(
    dataset=Dataset(
        name="small", cases=tuple(each.case for each in RUN), acls={}, writes_answers=True, fingerprint="f"
    ),
    parts={"llm": "gpt, m"},
    asked=tuple(RUN),
    values=measure(RUN),
    latencies={},
    leaks=(),
    ablation={},
    notes=(),
)


def options(server: ScriptedLlm, folder: Path, *gates: str, model: str = "m") -> JudgeOptions:
    found = judge_options(model, server.base_url, 500, folder / "verdicts.jsonl", gates)
    assert found is not None
    return found


def conclude(found: JudgeOptions | None, folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[bool, str, str]:
    """Whether the run passes, its report and its JSON."""
    judged = None if found is None else _judge(EVALUATION, found)
    result = folder / "result.json"
    passes = _conclude(EVALUATION, judged, folder / "no-baseline.json", 0.02, result, save_baseline=False)
    return passes, capsys.readouterr().out, result.read_text()


def test_without_a_judge_nothing_is_added(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With a judge the report is the same report, with one section before it and one key more in the JSON."""
    without = conclude(None, tmp_path, capsys)
    with scripted_llm(by(literal)) as server:
        judged = conclude(options(server, tmp_path), tmp_path, capsys)

    assert judged[0] is without[0] is True
    assert judged[1].endswith(without[1])
    assert "judged by m" in judged[1].removesuffix(without[1])
    plain, more = json.loads(without[2]), json.loads(judged[2])
    assert set(more) - set(plain) == {"judge"}
    assert {name: more[name] for name in plain} == plain
    assert len(more["judge"]["verdicts"]) == len(RUN)


def test_gates(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A judge stops a run only by a gate that was asked for: here by one that nobody would trust it with."""
    with scripted_llm(by(literal)) as server:
        founded = conclude(options(server, tmp_path, "groundedness=.9"), tmp_path, capsys)
        relevant = conclude(options(server, tmp_path, "groundedness=.9", "relevance=.9"), tmp_path, capsys)

    assert founded[0] is True
    assert relevant[0] is False
    assert json.loads(relevant[2])["objections"] == [
        "relevance has a gate, and the judge is not to be trusted in it",
    ]


def test_a_judge_that_is_away_stops_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where the judge cannot be had the measures stand: the run passes, and says that nothing was judged."""
    with scripted_llm(status(401)) as server:
        passes, report, _ = conclude(options(server, tmp_path), tmp_path, capsys)

    assert passes
    assert "30 unavailable of 30 answers (100%)" in report


def test_the_estimate_comes_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Before the first call it is said what it will take; a judge that wrote the answers itself is named as such."""
    with scripted_llm(by(literal)) as server:
        judged = _judge(EVALUATION, options(server, tmp_path))
        [estimate] = [line for line in capsys.readouterr().err.splitlines() if line.startswith("judge m:")]
        again = _judge(EVALUATION, options(server, tmp_path))

    assert f"{len(server.requests)} verdicts to ask for, about " in estimate
    assert "0 are kept; at most 500 calls" in estimate
    assert judged.notes == ("the judge wrote these answers itself, and models are kind to their own words",)
    assert again.verdicts.calls == 0
    assert again.findings == judged.findings


def test_the_key_is_the_judges_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The judge is sent its own key, from the environment, and nobody else's."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-openai")
    monkeypatch.setenv("PINCITE_LLM_API_KEY", "sk-service")
    monkeypatch.setenv("PINCITE_LLM_MODEL", "gpt")
    with scripted_llm(by(literal)) as server:
        _judge(EVALUATION, options(server, tmp_path / "without"))
        monkeypatch.setenv(KEY_VARIABLE, "sk-judge")
        _judge(EVALUATION, options(server, tmp_path / "with"))

    sent = [headers["authorization"] for headers in server.headers]
    assert set(sent[: len(sent) // 2]) == {"Bearer none"}
    assert set(sent[len(sent) // 2 :]) == {"Bearer sk-judge"}


def test_options() -> None:
    """Gates are read by name; without a model there is no judge."""
    found = judge_options("m", None, 5, Path("kept"), ["groundedness=.9", " citation-support = 0.5"])

    assert found is not None
    assert found.gates == {Dimension.GROUNDEDNESS: 0.9, Dimension.CITATION_SUPPORT: 0.5}
    assert judge_options(None, None, 5, Path("kept"), []) is None


def test_a_judge_has_patience() -> None:
    """A judge may think longer than an answer may take to begin, and write more; retries are the service's own."""
    of_service = LlmSettings(token_timeout=1, deadline=2, retries=7, max_output_tokens=10)
    found = judge_settings(of_service)

    assert found.token_timeout > of_service.token_timeout
    assert found.deadline > of_service.deadline
    assert found.max_output_tokens > of_service.max_output_tokens
    assert found.retries == 7


@pytest.mark.parametrize("gate", ["groundedness", "groundedness=", "groundedness=2", "groundedness=nan", "fluency=.9"])
def test_a_gate_that_is_none(gate: str) -> None:
    """A gate that could never be held is refused before anything is asked."""
    with pytest.raises(InputError, match="--judge-gate"):
        judge_options("m", None, 5, Path("kept"), [gate])


@pytest.mark.parametrize(
    "arguments",
    [
        ["--judge-url", "http://127.0.0.1:1/v1"],
        ["--judge-gate", "groundedness=.9"],
        ["--judge-model", ""],
        ["--judge-model", "m", "--judge-url", "localhost:8000"],
        ["--judge-model", "m", "--judge-url", "http://[::1"],
        ["--judge-model", "m", "--judge-gate", "fluency=1"],
    ],
)
def test_the_command_refuses(arguments: list[str]) -> None:
    """Options that make no sense are said before anything is indexed."""
    found = CliRunner().invoke(app, ["eval", *arguments])

    assert isinstance(found.exception, InputError)


def test_rankings_have_no_judge(tmp_path: Path) -> None:
    """A set that has no answers written is not judged: that is said, rather than a section without numbers."""
    folder = pumps_and_valves(tmp_path, PUMP, VALVE)

    found = CliRunner().invoke(app, ["eval", "--beir", str(folder), "--judge-model", "m"])

    assert isinstance(found.exception, InputError)
    assert "no answers to judge" in str(found.exception)
