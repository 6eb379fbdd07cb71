"""The console script: every room's commands under one name."""

import sys
from importlib import import_module
from typing import TYPE_CHECKING

import structlog
import typer
from typer.core import TyperGroup

from retrieval.errors import PinciteError
from retrieval.logs import configure
from retrieval.settings import TelemetrySettings, read_group

if TYPE_CHECKING:
    from typer._click import Command, Context  # typer gives them no public name

_COMMANDS = {
    "ingest": "ingest.cli:ingest_command",
    "sync": "ingest.syncing.cli:sync_command",
    "delete": "ingest.deleting.cli:delete_command",
    "doctor": "ingest.doctor.cli:doctor_command",
    "reembed": "evals.reembedding.cli:reembed_command",
    "ask": "retrieval.cli:ask_command",
    "explain": "retrieval.cli:explain_command",
    "usage": "retrieval.cli:usage_command",
    "serve": "api.cli:serve",
    "worker": "ingest.queueing.cli:worker_command",
    "eval": "evals.cli:eval_command",
    "demo": "evals.demo:demo_command",
    "jobs": "ingest.queueing.cli:jobs",
    "keys": "retrieval.cli:keys",
    "receipts": "ingest.deleting.cli:receipts",
    "budgets": "retrieval.cli:budgets",
    "webhooks": "ingest.webhooks.cli:webhooks",
    "generations": "evals.reembedding.cli:generations",
    "db": "retrieval.cli:database",
}


class _Commands(TyperGroup):
    """Imports a room when its command is called: `pincite keys` does not wait for the libraries of all others."""

    def list_commands(self, ctx: "Context") -> list[str]:  # noqa: ARG002 - click's signature
        return list(_COMMANDS)

    def get_command(self, ctx: "Context", cmd_name: str) -> "Command | None":  # noqa: ARG002 - click's signature
        if cmd_name not in _COMMANDS:
            return None
        module, attribute = _COMMANDS[cmd_name].split(":")
        found = getattr(import_module(module), attribute)
        room = typer.Typer(pretty_exceptions_enable=False)
        if isinstance(found, typer.Typer):
            room.add_typer(found, name=cmd_name)
        else:
            room.command(cmd_name)(found)
        return typer.main.get_group(room).commands[cmd_name]


app = typer.Typer(cls=_Commands, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def pincite() -> None:
    """Answers questions from your own documents, and cites the exact place."""


def main() -> None:
    """Runs a command; an error made on purpose is one line on stderr and exit code 2. Logs go to stderr as well."""
    try:
        configure(read_group(TelemetrySettings))
        app()
    except PinciteError as error:
        print(f"pincite: {error.code}: {error}", file=sys.stderr)  # noqa: T201 - a command's voice
        sys.exit(2)
    except Exception:  # noqa: BLE001 - whatever it is: exit code 1 would say that some documents failed
        structlog.get_logger(__name__).exception("internal_error")
        sys.exit(2)
