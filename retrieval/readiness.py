"""Which parts work right now."""

import asyncio
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

import structlog

from retrieval.engine import Engine
from retrieval.errors import PinciteError
from retrieval.generation.llm import EndpointState, Llm
from retrieval.serving import Missing

_PATIENCE = 2.0
"""Seconds a part has to answer: less than an orchestrator's own patience with the probe."""
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class PartState:
    """One part's state; `detail` names the model, or why it is unavailable."""

    state: Literal["ready", "unavailable", "not_configured"]
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """The parts by name: database, embedder, reranker, llm; and each endpoint of the LLM by its own."""

    parts: Mapping[str, PartState]
    llm_endpoints: Mapping[str, EndpointState] = field(default_factory=dict)

    @property
    def ready(self) -> bool:
        """Only the database is indispensable: without the others, answers degrade and say so."""
        return self.parts["database"].state == "ready"


class _Part(Protocol):
    @property
    def name(self) -> str: ...

    async def ping(self) -> None: ...


async def readiness(engine: Engine) -> Readiness:
    """Asks every part once, all at the same time. Never raises."""
    database, embedder, reranker, endpoints = await asyncio.gather(
        _probe(_database(engine), "Postgres"),
        _embedder(engine),
        _model(engine.reranker, "no reranker is configured: passages stand in fused order"),
        _endpoints(engine.llm),
    )
    parts = {"database": database, "embedder": embedder, "reranker": reranker, "llm": _llm(engine.llm, endpoints)}
    return Readiness(parts=parts, llm_endpoints=endpoints)


async def _endpoints(llm: Llm | None) -> Mapping[str, EndpointState]:
    return {} if llm is None else await llm.endpoints()


def _llm(llm: Llm | None, endpoints: Mapping[str, EndpointState]) -> PartState:
    """Ready as long as one endpoint is."""
    if llm is None:
        return PartState(state="not_configured", detail="no LLM is configured: answers are quoted from the passages")
    if any(endpoint.state == "ready" for endpoint in endpoints.values()):
        return PartState(state="ready", detail=llm.name)
    reasons = "; ".join(f"{name}: {endpoint.detail}" for name, endpoint in endpoints.items())
    return PartState(state="unavailable", detail=reasons)


async def _embedder(engine: Engine) -> PartState:
    """Unavailable, too, where it is another one that the index was moved to."""
    if engine.behind:
        return PartState(state="unavailable", detail=f"answers come from the generation before: {engine.behind}")
    return await _model(engine.embedder, "no embedder")


async def _model(part: _Part | Missing | None, absent: str) -> PartState:
    if part is None:
        return PartState(state="not_configured", detail=absent)
    if isinstance(part, Missing):
        return PartState(state="unavailable", detail=part.reason)
    return await _probe(part.ping(), part.name)


async def _database(engine: Engine) -> None:
    """Answers to the role that questions run as, and its index belongs to the configured model."""
    await engine.store.ping()
    await engine.generation()


async def _probe(answer: Awaitable[None], name: str) -> PartState:
    try:
        await asyncio.wait_for(answer, _PATIENCE)
    except TimeoutError:
        return PartState(state="unavailable", detail=f"{name} did not answer in {_PATIENCE:.0f} s")
    except PinciteError as error:
        return PartState(state="unavailable", detail=str(error))
    except Exception:  # noqa: BLE001 - a probe that fails in a new way is still an answer
        _log.exception("probe_failed", part=name)
        return PartState(state="unavailable", detail=f"{name} failed")
    return PartState(state="ready", detail=name)
