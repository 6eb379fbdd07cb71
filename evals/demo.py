"""`pincite demo`: from nothing to three cited answers, as a stranger would do it: by the commands and over HTTP."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Annotated, Any
from urllib.parse import quote

import httpx2
import typer
from rich.console import Console
from rich.markup import escape

from retrieval.errors import DependencyError, InputError
from retrieval.settings import Settings

_CONSOLE = Console(highlight=False)
_READY = "Pincite is listening on "


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One question: who asks, and what it shows."""

    who: str
    principals: tuple[str, ...]
    question: str
    shows: str


SCENES = (
    Scene(
        who="Ines, finance director",
        principals=("user:ines", "group:finance", "group:managers"),
        question="What was the operating margin in the third quarter of 2024?",
        shows="She may see the restricted quarterly report: page and characters are cited.",
    ),
    Scene(
        who="Ada, engineer",
        principals=("user:ada", "group:engineering"),
        question="What was the operating margin in the third quarter of 2024?",
        shows="The same question. She may not see that report: for her it does not exist.",
    ),
    Scene(
        who="Elin, customer support",
        principals=("user:elin", "group:support"),
        question="What does ERR-4012 mean?",
        shows="A configured LLM that is switched off: the answer is quoted from the passages, and says so.",
    ),
)


def demo_command(
    once: Annotated[bool, typer.Option("--once", help="End after the three answers")] = False,
) -> None:
    """Ingest the sample corpus, serve it, ask three questions as three people; the page stays up until Ctrl-C."""
    try:
        from evals.sample.build import build_sample_corpus
    except ModuleNotFoundError as error:
        raise InputError(f"{error.name} is not installed: pip install 'pincite[evals]'") from error
    settings = Settings()
    corpus = settings.database.data_dir / "sample"
    _CONSOLE.rule("[bold]Ingest: two tenants, five formats, two languages")
    for folder in build_sample_corpus(corpus):
        _pincite("ingest", "--tenant", folder.name, "--manifest", str(folder / "manifest.yaml"), "--prune")
    key = _key(settings)
    # Two servers on one database: one answers by quoting, one has an LLM configured that nobody serves.
    with _server() as url:
        with _server(
            PINCITE_LLM_MODEL="switched-off", PINCITE_LLM_BASE_URL=f"http://127.0.0.1:{_free_port()}/v1"
        ) as down:
            for scene, at in zip(SCENES, (url, url, down), strict=True):
                _play(at, key, scene)
        if not once:
            _stay(url, key)


def _key(settings: Settings) -> str:
    """A key that may speak for users, made once and kept beside the data it opens."""
    kept = settings.database.data_dir / "demo.key"
    if not kept.is_file() or settings.database.database_url is not None:
        made = _pincite("keys", "create", "--tenant", "halden", "--name", "demo", "--scope", "act_as", capture=True)
        with open(os.open(kept, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:  # noqa: PTH123
            file.write(made)
    return kept.read_text().strip()


def _pincite(*arguments: str, capture: bool = False) -> str:
    done = subprocess.run(
        [sys.executable, "-c", "import pincite; pincite.main()", *arguments],
        check=False,
        stdout=subprocess.PIPE if capture else None,
        text=True,
    )
    if done.returncode:
        raise DependencyError(f"'pincite {arguments[0]}' ended with exit code {done.returncode}")
    return (done.stdout or "").strip()


@contextmanager
def _server(**environment: str) -> Iterator[str]:
    """`pincite serve` on a free port, ended at the end."""
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", "import pincite; pincite.main()", "serve", "--port", "0"],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env={**os.environ, **environment},
            # Ctrl-C is for the demo, which then ends its servers in order.
            start_new_session=True,
        )
        try:
            yield _url(process, log)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=30)


def _url(process: subprocess.Popen[str], log: IO[str]) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(_READY):
            return line.removeprefix(_READY).strip()
    log.seek(0)
    raise DependencyError(f"the server did not start:\n{log.read()}")


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _play(url: str, key: str, scene: Scene) -> None:
    """Asks over HTTP and prints the stream as it comes."""
    _CONSOLE.rule(f"[bold]{scene.who}[/bold] ({', '.join(scene.principals)})")
    _CONSOLE.print(f"[dim]{scene.shows}[/dim]\n[bold]? {escape(scene.question)}[/bold]")
    for event, data in _ask(url, key, scene):
        match event:
            case "text":
                _CONSOLE.print(data["text"], end="", markup=False)
            case "finished":
                _close(data)
            case "error":
                raise DependencyError(data["error"]["message"])


def _ask(url: str, key: str, scene: Scene) -> Iterator[tuple[str, Mapping[str, Any]]]:
    body = {"question": scene.question, "principals": scene.principals}
    headers = {"Authorization": f"Bearer {key}"}
    with httpx2.stream("POST", f"{url}/v1/answers", json=body, headers=headers, timeout=60) as answer:
        answer.raise_for_status()
        event = ""
        for line in answer.iter_lines():
            if line.startswith("event:"):
                event = line.partition(":")[2].strip()
            elif line.startswith("data:"):
                yield event, json.loads(line.partition(":")[2])


def _close(finished: Mapping[str, Any]) -> None:
    if finished["outcome"] == "refused":
        _CONSOLE.print("[yellow]Nothing that you may see answers this.[/yellow]")
    else:
        _CONSOLE.print()
    for citation in finished["citations"]:
        section = " › ".join(citation["section"])
        page = f", page {citation['first_page']}" if citation["first_page"] else ""
        span = f"characters {citation['char_start']}-{citation['char_end']}"
        _CONSOLE.print(
            f"  \\[{citation['number']}] [cyan]{escape(citation['uri'])}[/cyan] {escape(section)}{page}, {span}"
        )
    if finished["degraded"]:
        _CONSOLE.print(f"  [yellow]degraded: {', '.join(finished['degraded'])}[/yellow]")
    _CONSOLE.print(f"  [dim]{finished['answered_by']}, {finished['timings_ms']['total']:.0f} ms[/dim]")


def _stay(url: str, key: str) -> None:
    principals = quote(",".join(SCENES[0].principals))
    _CONSOLE.rule("[bold]Your turn")
    _CONSOLE.print(f"{url}/#key={key}&as={principals}", soft_wrap=True)
    _CONSOLE.print("[dim]Ctrl-C ends it.[/dim]")
    try:
        signal.pause()
    except KeyboardInterrupt:
        _CONSOLE.print("Good-bye.")
