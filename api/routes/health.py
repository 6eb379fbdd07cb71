"""Whether the process lives, and whether it can serve."""

from typing import Any

from fastapi import APIRouter, Response

from api.authentication import OpenedEngine
from api.errors import RETRY_AFTER_SECONDS
from api.schemas import Alive, ReadinessResponse
from retrieval.readiness import readiness

router = APIRouter(tags=["health"])

_NOT_READY: dict[int | str, dict[str, Any]] = {503: {"description": "Not ready", "model": ReadinessResponse}}


@router.get("/livez")
async def livez() -> Alive:
    """Answers as long as the process does. Looks at nothing else."""
    return Alive()


@router.get("/readyz", responses=_NOT_READY)
async def readyz(response: Response, engine: OpenedEngine) -> ReadinessResponse:
    """Whether questions can be served, with the state of each part. Models that are down only degrade answers."""
    state = await readiness(engine)
    if not state.ready:
        response.status_code = 503
        response.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return ReadinessResponse.of(state)
