"""`pincite doctor`."""

import json
from dataclasses import asdict
from typing import Annotated

import structlog
import typer

from ingest.doctor.checkup import Checkup, examine
from ingest.doctor.findings import Finding, exit_code
from retrieval.access import tenant_id
from retrieval.engine import prepare_database
from retrieval.errors import EmbedderUnavailable
from retrieval.models.loading import load_embedder
from retrieval.models.protocols import Embedder
from retrieval.settings import Settings


def doctor_command(
    tenant: Annotated[str | None, typer.Option(help="This tenant alone [default: each]")] = None,
    fix: Annotated[bool, typer.Option("--fix", help="Mend what is safe to mend, beside running traffic")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON line for each finding")] = False,
) -> None:
    """Hold the index against its documents, and the server against what the index needs.

    Exit code 0: nothing to do. 1: warnings. 3: errors. 2: it could not be examined.
    """
    settings = Settings()
    checkup = Checkup(
        dsn=prepare_database(settings),
        settings=settings.database,
        index_from=settings.ingest.index_from,
        embedder=_embedder(settings),
        fix=fix,
    )
    found: list[Finding] = []
    for finding in examine(checkup, None if tenant is None else tenant_id(tenant)):
        found.append(finding)
        print(json.dumps(asdict(finding)) if as_json else finding.line)
    if not found and not as_json:
        print("nothing is wrong")
    raise typer.Exit(exit_code(found))


def _embedder(settings: Settings) -> Embedder | None:
    try:
        return load_embedder(settings.embedder)
    except EmbedderUnavailable as error:
        structlog.get_logger(__name__).warning("embedder_unavailable", reason=str(error))
        return None
