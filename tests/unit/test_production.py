"""An answer that is written for whoever follows it."""

import asyncio
from collections.abc import AsyncGenerator
from uuid import uuid4

import pytest

from api.production import Production
from retrieval.access import tenant_id
from retrieval.domain import AnswerEvent, TextDelta
from retrieval.errors import AnswerInterrupted


async def test_one_that_is_ended_before_it_begins_tells_its_reader() -> None:
    """A process that stops in the very moment of the question leaves nobody waiting, and its key free."""
    released = list[Production]()

    async def silent() -> AsyncGenerator[AnswerEvent, None]:
        await asyncio.Event().wait()
        yield TextDelta(text="never")

    async def release(production: Production) -> None:
        released.append(production)

    production = Production(
        silent(), release, tenant=tenant_id("acme"), answer_id=uuid4(), request_id="r-1", max_bytes=1000
    )
    production.end(AnswerInterrupted("the server is stopping"))
    async with asyncio.timeout(2):
        with pytest.raises(AnswerInterrupted):
            await production.event(1)
    assert released == [production]
