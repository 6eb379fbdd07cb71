"""Metrics, for Prometheus to collect."""

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import Response

from retrieval.telemetry import Telemetry

router = APIRouter(tags=["health"])


@router.get("/metrics", response_class=PlainTextResponse)
async def metrics(request: Request) -> Response:
    """Counts and durations of this process, in Prometheus' text format. No label names a tenant or anybody.

    `PINCITE_API_METRICS=false` closes it.
    """
    telemetry: Telemetry = request.app.state.telemetry
    return Response(telemetry.exposition(), headers={"Content-Type": CONTENT_TYPE_LATEST})
