"""Which parts work right now."""

import asyncio
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from retrieval.engine import Engine, Missing
from retrieval.errors import PinciteError


@dataclass(frozen=True, slots=True, kw_only=True)
class PartState:
    """One part's state; `detail` names the model, or why it is unavailable."""

    state: Literal["ready", "unavailable", "not_configured"]
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """The parts by name: database, embedder, reranker, llm."""

    parts: Mapping[str, PartState]

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
    database, embedder, reranker, llm = await asyncio.gather(
        _probe(engine.store.ping(), "Postgres"),
        _model(engine.embedder, "no embedder"),
        _model(engine.reranker, "no cross-encoder is configured: passages stand in fused order"),
        _model(engine.llm, "no LLM is configured: answers are quoted from the passages"),
    )
    return Readiness(parts={"database": database, "embedder": embedder, "reranker": reranker, "llm": llm})


async def _model(part: _Part | Missing | None, absent: str) -> PartState:
    if part is None:
        return PartState(state="not_configured", detail=absent)
    if isinstance(part, Missing):
        return PartState(state="unavailable", detail=part.reason)
    return await _probe(part.ping(), part.name)


async def _probe(answer: Awaitable[None], name: str) -> PartState:
    try:
        await answer
    except PinciteError as error:
        return PartState(state="unavailable", detail=str(error))
    return PartState(state="ready", detail=name)
