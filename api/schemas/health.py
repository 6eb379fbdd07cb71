"""How the service is."""

from typing import Literal, Self

from pydantic import Field

from api.schemas.base import Wire
from retrieval.readiness import Readiness
from retrieval.upstream.breaker import BreakerState


class PartOut(Wire):
    state: Literal["ready", "unavailable", "not_configured"]


class EndpointOut(Wire):
    state: Literal["ready", "unavailable"]
    breaker: BreakerState = Field(description="`open`: it failed and is left alone; `half_open`: one call may try")


class ReadinessResponse(Wire):
    """Whether questions can be served, and each part's own state. Only the database is indispensable."""

    ready: bool
    parts: dict[str, PartOut]
    llm_endpoints: dict[str, EndpointOut] = Field(description="The LLM is ready while one of them is")

    @classmethod
    def of(cls, readiness: Readiness) -> Self:
        parts = {name: PartOut(state=part.state) for name, part in readiness.parts.items()}
        endpoints = {
            name: EndpointOut(state=endpoint.state, breaker=endpoint.breaker)
            for name, endpoint in readiness.llm_endpoints.items()
        }
        return cls(ready=readiness.ready, parts=parts, llm_endpoints=endpoints)


class Alive(Wire):
    """The process answers."""

    alive: Literal[True] = True
