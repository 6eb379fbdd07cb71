"""The console script: every room's commands under one name."""

import sys

import structlog
import typer

from api.cli import serve
from evals.cli import eval_command
from evals.demo import demo_command
from evals.reembedding.cli import generations, reembed_command
from ingest.cli import ingest_command
from ingest.deleting.cli import delete_command, receipts
from ingest.doctor.cli import doctor_command
from ingest.queueing.cli import jobs, worker_command
from ingest.syncing.cli import sync_command
from ingest.webhooks.cli import webhooks
from retrieval.cli import ask_command, budgets, database, explain_command, keys, usage_command
from retrieval.errors import PinciteError
from retrieval.logs import configure
from retrieval.settings import TelemetrySettings, read_group

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Answers questions from your own documents, and cites the exact place.",
)
app.command("ingest")(ingest_command)
app.command("sync")(sync_command)
app.command("delete")(delete_command)
app.command("doctor")(doctor_command)
app.command("reembed")(reembed_command)
app.command("ask")(ask_command)
app.command("explain")(explain_command)
app.command("usage")(usage_command)
app.command("serve")(serve)
app.command("worker")(worker_command)
app.command("eval")(eval_command)
app.command("demo")(demo_command)
app.add_typer(jobs, name="jobs")
app.add_typer(keys, name="keys")
app.add_typer(receipts, name="receipts")
app.add_typer(budgets, name="budgets")
app.add_typer(webhooks, name="webhooks")
app.add_typer(generations, name="generations")
app.add_typer(database, name="db")


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
