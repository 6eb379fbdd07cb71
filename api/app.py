"""The application: routes, borders and lifetime put together."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI

from api import errors
from api.envelope import BodyLimit, Envelope
from api.keeping import kept_answers
from api.limiting import Limits
from api.metering import Metering
from api.openapi import describer
from api.probe import ReadinessProbe
from api.receiving import larger_bodies
from api.routes import answers, curating, documents, health, jobs, metrics, page, search, submissions, usage, webhooks
from api.watching import Watching
from api.working import working
from api.writing import Writing
from retrieval.engine import Engine, open_engine
from retrieval.settings import Settings
from retrieval.telemetry import telemetry_of

_DESCRIPTION = "Answers from your own documents, each citation verified against the exact text it points at."


def create_app(settings: Settings, engine: Engine | None = None) -> FastAPI:
    """The HTTP application over `engine`, or over one of its own for as long as it is served.

    Setting `app.state.stopping` ends open streams with an `error` event; `app.state.kept` and
    `app.state.writing` are to be closed before a given engine is.
    """
    app = FastAPI(
        title="Pincite",
        version=version("pincite"),
        description=_DESCRIPTION,
        lifespan=_own_engine if engine is None else None,
        docs_url=None,  # FastAPI's viewers load their code from elsewhere; ours is a closed house
        redoc_url=None,
        redirect_slashes=False,
        # What is exported is for `retrieval/exporting.py` to say; stages and statements are spans of our own.
        telemetry={"auto_configure": False, "logs": False, "operation_spans": False},
    )
    app.state.settings = settings
    app.state.engine = engine
    app.state.kept = None if engine is None else kept_answers(engine)
    app.state.telemetry = telemetry = telemetry_of(settings.telemetry) if engine is None else engine.telemetry
    app.state.limits = Limits(settings.limits, telemetry)
    app.state.writing = Writing(settings.database)
    app.state.stopping = asyncio.Event()
    app.state.probe = ReadinessProbe()
    errors.install(app)
    for routes in (answers, search, submissions, documents, curating, jobs, webhooks, usage, health, page):
        app.include_router(routes.router)
    if settings.api.metrics:
        app.include_router(metrics.router)
    app.mount("/static", page.files)
    app.add_middleware(BodyLimit, max_bytes=settings.api.max_body_bytes, larger=larger_bodies(settings))
    app.add_middleware(Watching, access_log=settings.telemetry.access_log)
    app.add_middleware(Envelope)
    app.add_middleware(Metering, telemetry=telemetry)  # added last: outermost
    app.openapi = describer(app)  # type: ignore[method-assign]  # FastAPI's own way to extend it
    return app


@asynccontextmanager
async def _own_engine(app: FastAPI) -> AsyncIterator[None]:
    async with open_engine(app.state.settings, telemetry=app.state.telemetry) as engine:
        app.state.engine = engine
        app.state.kept = kept_answers(engine)
        try:
            async with working(app.state.settings, engine):
                yield
        finally:
            await app.state.writing.close()
            await app.state.kept.close()
