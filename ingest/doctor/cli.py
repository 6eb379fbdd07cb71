"""`pincite doctor`."""

import json
from dataclasses import asdict
from typing import Annotated

import structlog
import typer

from ingest.doctor.checkup import Checkup, examine
from ingest.doctor.findings import Finding, exit_code
from ingest.embedding import Configured, live_embedder
from ingest.recipes import cut_recipe
from ingest.situating.remembering import kept_words
from retrieval.access import tenant_id
from retrieval.database.preparing import prepare_database
from retrieval.errors import EmbedderUnavailable
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
    dsn = prepare_database(settings)
    embedder = _embedder(dsn, settings)
    checkup = Checkup(
        dsn=dsn,
        settings=settings.database,
        index_from=settings.ingest.index_from,
        embedder=embedder,
        recipe=None if embedder is None else _recipe(settings, embedder),
        fix=fix,
    )
    found: list[Finding] = []
    for finding in examine(checkup, None if tenant is None else tenant_id(tenant)):
        found.append(finding)
        print(json.dumps(asdict(finding)) if as_json else finding.line)
    if not found and not as_json:
        print("nothing is wrong")
    raise typer.Exit(exit_code(found))


def _embedder(dsn: str, settings: Settings) -> Embedder | None:
    try:
        return live_embedder(dsn, Configured(settings.embedder))
    except EmbedderUnavailable as error:
        structlog.get_logger(__name__).warning("embedder_unavailable", reason=str(error))
        return None


def _recipe(settings: Settings, embedder: Embedder) -> str:
    words = kept_words(settings, embedder)
    return cut_recipe(embedder, settings.ingest, words.recipe if words else "")
