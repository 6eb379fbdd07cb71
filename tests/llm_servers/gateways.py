"""Gateways over scripted servers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from retrieval.access import caller, tenant_id
from retrieval.endpoints import EndpointSettings
from retrieval.generation.drafts import Draft
from retrieval.generation.gateway import LlmGateway
from retrieval.generation.llm import Begun
from retrieval.settings import BreakerSettings, LlmSettings
from tests.llm_servers.scripted import ScriptedLlm

ACME = tenant_id("acme")
ASKER = caller("acme", ())
DRAFT = Draft(question="How many days?", passages=())
_FAST: dict[str, Any] = {"connect_timeout": 5.0, "token_timeout": 3.0, "deadline": 10.0, "retries": 0}


def endpoint(name: str, server: ScriptedLlm, **more: Any) -> EndpointSettings:
    """An endpoint at this server."""
    return EndpointSettings(name=name, model=f"model-{name}", base_url=server.base_url, **more)


@asynccontextmanager
async def gateway(
    *endpoints: EndpointSettings, breaker: BreakerSettings | None = None, **more: Any
) -> AsyncIterator[LlmGateway]:
    """A gateway over these endpoints, with time-outs short enough for a test."""
    llm = LlmGateway(LlmSettings(endpoints=endpoints, **{**_FAST, **more}), breaker)
    try:
        yield llm
    finally:
        await llm.close()


async def begun_by(llm: LlmGateway, draft: Draft = DRAFT) -> Begun:
    """The beginning of an answer that is read to its end."""
    async with llm.turn(ASKER) as turn:
        pieces = [piece async for piece in turn.stream(draft)]
    assert isinstance(pieces[0], Begun)
    return pieces[0]
