"""Concurrent callers share batches and nothing else."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from retrieval.models.batching import Batcher

LONG = 60.0
"""Seconds that never pass in a test."""


class Doubler:
    """Doubles numbers, and remembers the batches. Waits in each for `go`; breaks at the number 13."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.begun, self.go = Event(), Event()
        self.go.set()

    def __call__(self, numbers: list[int]) -> list[int]:
        self.batches.append(numbers)
        self.begun.set()
        assert self.go.wait(LONG)
        if 13 in numbers:
            raise ValueError("thirteen")
        return [2 * number for number in numbers]


@pytest.fixture
def thread() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as one:
        yield one


@pytest.fixture
def work() -> Doubler:
    return Doubler()


async def _held(work: Doubler, batcher: Batcher[int, int]) -> asyncio.Task[list[int | None]]:
    """A caller whose batch has begun and waits."""
    work.go.clear()
    caller = asyncio.create_task(batcher.run([0], LONG))
    await asyncio.to_thread(work.begun.wait, LONG)
    return caller


async def test_results_go_to_their_owners(thread: ThreadPoolExecutor, work: Doubler) -> None:
    """Each of many callers gets its own results, in its order, though their batches are shared; none asks in vain."""
    batcher = Batcher(work, thread, 8)
    asked = [list(range(100 * caller, 100 * caller + caller % 20)) for caller in range(50)]
    answered = await asyncio.gather(*(batcher.run(numbers, LONG) for numbers in asked))
    assert answered == [[2 * number for number in numbers] for numbers in asked]


async def test_what_waits_makes_up_one_batch(thread: ThreadPoolExecutor, work: Doubler) -> None:
    """What comes while a batch is computed is computed together next, first come first, up to the size."""
    batcher = Batcher(work, thread, 4)
    first = await _held(work, batcher)
    others = [asyncio.create_task(batcher.run([number], LONG)) for number in range(1, 7)]
    await asyncio.sleep(0)
    work.go.set()
    assert await first == [0]
    assert await asyncio.gather(*others) == [[2], [4], [6], [8], [10], [12]]
    assert work.batches == [[0], [1, 2, 3, 4], [5, 6]]


async def test_a_failing_batch_fails_only_its_callers(thread: ThreadPoolExecutor, work: Doubler) -> None:
    """Who shared no batch with the failure hears nothing of it, and the thread goes on."""
    batcher = Batcher(work, thread, 2)
    first = await _held(work, batcher)
    failing = asyncio.create_task(batcher.run([13, 13, 13], LONG))
    await asyncio.sleep(0)
    later = asyncio.create_task(batcher.run([1, 2, 3], LONG))
    await asyncio.sleep(0)
    work.go.set()
    with pytest.raises(ValueError, match="thirteen"):
        await failing
    assert await first == [0]
    with pytest.raises(ValueError, match="thirteen"):
        await later  # its first number shared the batch of the last 13
    assert await batcher.run([4, 5], LONG) == [8, 10]


async def test_what_is_late_is_none(thread: ThreadPoolExecutor, work: Doubler) -> None:
    """What was not begun by its deadline is never computed; what was done in time is there."""
    batcher = Batcher(work, thread, 2)
    first = await _held(work, batcher)
    assert await batcher.run([1, 2, 3], 0.01) == [None, None, None]
    work.go.set()
    assert await first == [0]
    assert await batcher.run([4], LONG) == [8]
    assert work.batches == [[0], [4]]


async def test_a_caller_that_goes_away_takes_its_items_along(thread: ThreadPoolExecutor, work: Doubler) -> None:
    """Cancelled callers cost no batch."""
    batcher = Batcher(work, thread, 2)
    first = await _held(work, batcher)
    gone = asyncio.create_task(batcher.run([1, 2, 3], LONG))
    await asyncio.sleep(0)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    work.go.set()
    assert await first == [0]
    assert await batcher.run([4], LONG) == [8]
    assert work.batches == [[0], [4]]


async def test_nothing_asked_is_nothing_done(thread: ThreadPoolExecutor, work: Doubler) -> None:
    """No items, no batch."""
    assert await Batcher(work, thread, 2).run([], LONG) == []
    assert work.batches == []


async def test_two_on_one_thread_take_turns(thread: ThreadPoolExecutor, work: Doubler) -> None:
    """A long queue of one kind of work does not hold up another kind on the same thread for more than a batch."""
    other = Doubler()
    long, short = Batcher(work, thread, 1), Batcher(other, thread, 1)
    first = await _held(work, long)
    queued = asyncio.create_task(long.run([1], LONG))
    await asyncio.sleep(0)
    came_later = asyncio.create_task(short.run([7], LONG))
    await asyncio.sleep(0)
    last = asyncio.create_task(long.run([2], LONG))
    await asyncio.sleep(0)
    work.go.set()
    assert await came_later == [14]
    assert [await each for each in (first, queued, last)] == [[0], [2], [4]]
