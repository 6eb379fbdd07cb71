"""No more at once than allowed, none forgotten, and no tenant behind another's crowd."""

import asyncio
import random

import pytest

from retrieval.access import TenantId, tenant_id
from retrieval.admission import Admission
from retrieval.errors import Overloaded

ACME, BETA = tenant_id("acme"), tenant_id("beta")


class Work:
    """Searches that take until they are let go, and the order in which they began."""

    def __init__(self, admission: Admission) -> None:
        self.begun: list[str] = []
        self._admission = admission
        self._release = asyncio.Semaphore(0)

    def start(self, tenant: TenantId, name: str) -> "asyncio.Task[None]":
        return asyncio.create_task(self._one(tenant, name))

    async def let_go(self, count: int) -> None:
        for _ in range(count):
            self._release.release()
        await settled()

    async def _one(self, tenant: TenantId, name: str) -> None:
        async with self._admission.turn(tenant):
            self.begun.append(name)
            await self._release.acquire()


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_tenants_are_served_in_turn() -> None:
    """A tenant that asks one thing waits for one search of the tenant that asked a hundred, not for a hundred."""
    work = Work(Admission(at_once=1, waiting=200, patience=60))
    tasks = [work.start(ACME, f"a{number}") for number in range(100)]
    await settled()
    tasks.append(work.start(BETA, "b"))
    await settled()
    await work.let_go(3)
    assert work.begun.index("b") <= 2
    await work.let_go(200)
    await asyncio.gather(*tasks)
    assert [name for name in work.begun if name != "b"] == [f"a{number}" for number in range(100)]


async def test_a_full_line_turns_away_whoever_fills_it() -> None:
    """Past the line's end its owner is refused at once; another tenant takes the place of the owner's newest."""
    work = Work(Admission(at_once=1, waiting=3, patience=60))
    crowd = [work.start(ACME, f"a{number}") for number in range(5)]
    await settled()
    assert [task.done() for task in crowd] == [False, False, False, False, True]
    other = work.start(BETA, "b")
    await settled()
    assert crowd[3].done()
    await work.let_go(4)
    await other
    outcomes = await asyncio.gather(*crowd, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [type(None)] * 3 + [Overloaded] * 2


async def test_nobody_waits_longer_than_the_patience() -> None:
    """A search whose turn does not come in time is told so, and the line moves on without it."""
    admission = Admission(at_once=1, waiting=3, patience=0.01)
    async with admission.turn(ACME):
        with pytest.raises(Overloaded, match="in time"):
            async with admission.turn(BETA):
                pass
    async with admission.turn(BETA):
        pass


async def test_turns_survive_any_disorder() -> None:
    """Whatever is cancelled, refused or fails, and whenever: at the end every place is free again."""
    admission, chance, inside = Admission(at_once=3, waiting=8, patience=0.02), random.Random(7), 0  # noqa: S311 - no secret

    async def search(tenant: TenantId) -> None:
        nonlocal inside
        async with admission.turn(tenant):
            inside += 1
            assert inside <= 3
            try:
                await asyncio.sleep(chance.random() / 200)
                if chance.random() < 0.2:
                    raise ValueError
            finally:
                inside -= 1

    tasks = []
    for number in range(600):
        tasks.append(asyncio.create_task(search(tenant_id(f"t{number % 7}"))))
        if chance.random() < 0.3:
            chance.choice(tasks).cancel()
        if chance.random() < 0.5:
            await asyncio.sleep(chance.random() / 1000)
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} <= {type(None), Overloaded, ValueError, asyncio.CancelledError}
    async with admission.turn(ACME), admission.turn(ACME), admission.turn(ACME):
        with pytest.raises(Overloaded):
            async with admission.turn(ACME):
                pass
