"""Concurrent callers share batches and nothing else."""

import asyncio
from collections.abc import Callable, Iterator
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


class Closed(Exception):
    """What callers get from a closed batcher here."""


def _batcher(
    work: Doubler, thread: ThreadPoolExecutor, size: int, weigh: Callable[[int], int] = lambda _: 1
) -> Batcher[int, int]:
    return Batcher(work, thread, size, closed=Closed, weigh=weigh)


async def _queued(batcher: Batcher[int, int], numbers: list[int]) -> asyncio.Task[list[int | None]]:
    """A caller whose numbers wait."""
    caller = asyncio.create_task(batcher.run(numbers, LONG))
    await asyncio.sleep(0)
    return caller


async def _held(work: Doubler, batcher: Batcher[int, int]) -> asyncio.Task[list[int | None]]:
    """A caller whose batch has begun and waits."""
    work.go.clear()
    caller = asyncio.create_task(batcher.run([0], LONG))
    await asyncio.to_thread(work.begun.wait, LONG)
    return caller


async def test_results_go_to_their_owners(thread: ThreadPoolExecutor, work: Doubler) -> None:
    """Each of many callers gets its own results, in its order, though their batches are shared; none asks in vain."""
    batcher = _batcher(work, thread, 8)
    asked = [list(range(100 * caller, 100 * caller + caller % 20)) for caller in range(50)]
    answered = await asyncio.gather(*(batcher.run(numbers, LONG) for numbers in asked))
    assert answered == [[2 * number for number in numbers] for numbers in asked]


async def test_what_waits_makes_up_one_batch(thread: ThreadPoolExecutor, work: Doubler) -> None:
    """What comes while a batch is computed is computed together next, first come first, up to the size."""
    batcher = _batcher(work, thread, 4)
    first = await _held(work, batcher)
    others = [asyncio.create_task(batcher.run([number], LONG)) for number in range(1, 7)]
    await asyncio.sleep(0)
    work.go.set()
    assert await first == [0]
    assert await asyncio.gather(*others) == [[2], [4], [6], [8], [10], [12]]
    assert work.batches == [[0], [1, 2, 3, 4], [5, 6]]


async def test_one_bad_item_fails_only_its_caller(thread: ThreadPoolExecutor, work: Doubler) -> None:
    """A batch that fails is tried again item by item: who shared it with the bad one hears nothing of it."""
    batcher = _batcher(work, thread, 4)
    first = await _held(work, batcher)
    before, failing, behind = [await _queued(batcher, numbers) for numbers in ([1], [2, 13], [3])]
    work.go.set()
    with pytest.raises(ValueError, match="thirteen"):
        await failing
    assert [await each for each in (first, before, behind)] == [[0], [2], [6]]
    assert work.batches == [[0], [1, 2, 13, 3], [1], [2], [13], [3]]


async def test_work_that_loses_a_result_fails(thread: ThreadPoolExecutor) -> None:
    """Results that are not one per item belong to nobody, and the thread goes on."""
    batcher = Batcher[int, int](lambda numbers: numbers[1:], thread, 2, closed=Closed)
    for _ in range(2):
        with pytest.raises(ValueError, match="shorter"):
            await batcher.run([1, 2], LONG)


async def test_callers_take_turns(thread: ThreadPoolExecutor, work: Doubler) -> None:
    """Of each caller one batch, filled up from those behind: one who asks little waits for a batch of each at most."""
    batcher = _batcher(work, thread, 2)
    first = await _held(work, batcher)
    callers = [await _queued(batcher, numbers) for numbers in ([1, 2, 3, 4], [5, 6, 7], [8])]
    work.go.set()
    await asyncio.gather(first, *callers)
    assert work.batches == [[0], [1, 2], [5, 6], [8, 3], [4, 7]]


async def test_a_batch_has_a_weight(thread: ThreadPoolExecutor, work: Doubler) -> None:
    """It takes what it has room for; what is heavier than any batch is one alone."""
    batcher = _batcher(work, thread, 10, weigh=lambda number: number + 1)
    assert await batcher.run([3, 4, 1, 2, 30, 9, 1], LONG) == [6, 8, 2, 4, 60, 18, 2]
    assert work.batches == [[3, 4], [1, 2], [30], [9], [1]]


async def test_what_is_computed_too_late_is_kept(thread: ThreadPoolExecutor, work: Doubler) -> None:
    """A batch that has begun is finished, and `keep` gets what the caller did not wait for; what waits is dropped."""
    batcher, kept, done = _batcher(work, thread, 2), dict[int, int](), Event()

    def keep(number: int, double: int) -> None:
        kept[number] = double
        if len(kept) == 2:
            done.set()

    work.go.clear()
    assert await batcher.run([1, 2, 3], 0.05, keep) == [None, None, None]
    work.go.set()
    assert await asyncio.to_thread(done.wait, LONG)
    assert await batcher.run([4], LONG, keep) == [8]
    assert kept == {1: 2, 2: 4, 4: 8}


async def test_nobody_waits_in_vain(thread: ThreadPoolExecutor, work: Doubler) -> None:
    """Who comes when those ahead need all of its time, by what batches took so far, gets nothing and that at once."""
    batcher = _batcher(work, thread, 1)
    batcher._pace = LONG / 4  # as if every batch had taken so long
    first = await _held(work, batcher)
    queued = await _queued(batcher, [1])
    assert await batcher.run([2, 3], LONG / 2) == [None, None]
    work.go.set()
    assert [await first, await queued] == [[0], [2]]
    assert await batcher.run([4], LONG / 100) == [8]  # nothing ahead: begun, however slow it was
    assert work.batches == [[0], [1], [4]]


async def test_closing_ends_all_waiting(thread: ThreadPoolExecutor, work: Doubler) -> None:
    """Who waits when it is closed, and who comes later, is told so; what has begun is finished."""
    batcher = _batcher(work, thread, 1)
    first = await _held(work, batcher)
    queued = await _queued(batcher, [1])
    batcher.close()
    with pytest.raises(Closed):
        await queued
    with pytest.raises(Closed):
        await batcher.run([2], LONG)
    work.go.set()
    assert await first == [0]
    assert work.batches == [[0]]


async def test_what_is_late_is_none(thread: ThreadPoolExecutor, work: Doubler) -> None:
    """What was not begun by its deadline is never computed; what was done in time is there."""
    batcher = _batcher(work, thread, 2)
    first = await _held(work, batcher)
    assert await batcher.run([1, 2, 3], 0.01) == [None, None, None]
    work.go.set()
    assert await first == [0]
    assert await batcher.run([4], LONG) == [8]
    assert work.batches == [[0], [4]]


async def test_a_caller_that_goes_away_takes_its_items_along(thread: ThreadPoolExecutor, work: Doubler) -> None:
    """Cancelled callers cost no batch."""
    batcher = _batcher(work, thread, 2)
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
    assert await _batcher(work, thread, 2).run([], LONG) == []
    assert work.batches == []


async def test_two_on_one_thread_take_turns(thread: ThreadPoolExecutor, work: Doubler) -> None:
    """A long queue of one kind of work does not hold up another kind on the same thread for more than a batch."""
    other = Doubler()
    long, short = _batcher(work, thread, 1), _batcher(other, thread, 1)
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
