"""What goes on in the background ends when it is told to, whatever becomes of its first cancellation."""

import asyncio

import psycopg
import pytest

from ingest.apps import kept_up
from retrieval.stopping import stopped


async def test_a_lost_cancellation_is_said_again() -> None:
    """As Python 3.11's `wait_for()` loses one: the loop goes on as if there had been none."""
    lost = 0

    async def loop() -> None:
        nonlocal lost
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                if (lost := lost + 1) == 3:
                    raise

    task = asyncio.create_task(loop())
    await asyncio.sleep(0)
    await stopped(task, again=0.01)
    assert (task.cancelled(), lost) == (True, 3)


async def test_what_ended_by_an_error_is_stopped_as_well() -> None:
    async def broken() -> None:
        raise OSError

    task = asyncio.create_task(broken())
    await asyncio.wait({task})
    await stopped(task, asyncio.create_task(asyncio.sleep(60)))


async def test_a_worker_ends_though_its_database_goes_away_just_then() -> None:
    """It cannot take itself off the list of workers: that error comes instead of the cancellation."""
    begun = 0

    async def work() -> None:
        nonlocal begun
        begun += 1
        try:
            await asyncio.sleep(60)
        finally:
            raise psycopg.OperationalError("the server is gone")

    working = asyncio.create_task(kept_up(work, "worker_begins_anew", 1.0))
    await asyncio.sleep(0.05)
    async with asyncio.timeout(5):
        await stopped(working)
    assert (working.cancelled(), begun) == (True, 1)


async def test_a_worker_begins_anew_when_its_database_was_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.apps._AGAIN", 0.01)
    begun = 0

    async def work() -> None:
        nonlocal begun
        begun += 1
        if begun < 3:
            raise psycopg.OperationalError("the server is away")
        raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        await kept_up(work, "worker_begins_anew", 1.0)
    assert begun == 3
