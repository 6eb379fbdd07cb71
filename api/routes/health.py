"""Whether the process lives, and whether it can serve."""

from typing import Any

from fastapi import APIRouter, Request, Response

from api.authentication import OpenedEngine
from api.errors import RETRY_AFTER_SECONDS
from api.probe import ReadinessProbe
from api.schemas.health import Alive, ReadinessResponse

router = APIRouter(tags=["health"])

_NOT_READY: dict[int | str, dict[str, Any]] = {503: {"description": "Not ready", "model": ReadinessResponse}}


@router.get("/livez")
async def livez() -> Alive:
    """Answers as long as the process does. Looks at nothing else."""
    return Alive()


@router.get("/readyz", responses=_NOT_READY)
async def readyz(request: Request, response: Response, engine: OpenedEngine) -> ReadinessResponse:
    """Whether questions can be served, with the state of each part. Models that are down only degrade answers.

    The states are up to five seconds old. Why a part is unavailable is in the server's log.
    """
    probe: ReadinessProbe = request.app.state.probe
    state = await probe.readiness(engine)
    if not state.ready:
        response.status_code = 503
        response.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return ReadinessResponse.of(state)
