"""Concurrent callers share a model's batches, each with a deadline of its own."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Waiting(Generic[Item, Result]):
    item: Item
    deadline: float
    future: Future[Result] = field(default_factory=Future)


class Batcher(Generic[Item, Result]):
    """One thread that works off what waits, `size` items at a time, first come first served.

    It never waits for a batch to fill: what comes while one is computed makes up the next. An item whose deadline has
    passed, or whose caller has gone, is dropped before its batch begins; a batch once begun is finished.
    """

    def __init__(self, work: Callable[[list[Item]], Iterable[Result]], thread: ThreadPoolExecutor, size: int) -> None:
        """`work` gives one result per item, in order; what it raises, the callers of that batch get."""
        self._work = work
        self._thread = thread
        self._size = size
        self._waiting: deque[_Waiting[Item, Result]] = deque()

    async def run(self, items: Sequence[Item], seconds: float) -> list[Result | None]:
        """A result for each item, None where the time ran out first. The first items are worked on first.

        Raises what the work raised.
        """
        deadline = time.monotonic() + seconds
        waiting: list[_Waiting[Item, Result]] = [_Waiting(item=item, deadline=deadline) for item in items]
        futures = [asyncio.wrap_future(each.future) for each in waiting]
        self._waiting.extend(waiting)
        for _ in range(0, len(waiting), self._size):
            # A turn per batch, not one for all: others who work on the same thread come in between.
            self._thread.submit(self._work_off_one)
        try:
            if futures:
                await asyncio.wait(futures, timeout=seconds)
        finally:
            for future in futures:
                future.cancel()
        return _results(futures)

    def _work_off_one(self) -> None:
        batch = self._next_batch()
        if not batch:
            return
        try:
            results = self._work([each.item for each in batch])
        except Exception as error:  # noqa: BLE001 - whatever it is, it is for the callers to hear
            for each in batch:
                each.future.set_exception(error)
        else:
            for each, result in zip(batch, results, strict=True):
                each.future.set_result(result)

    def _next_batch(self) -> list[_Waiting[Item, Result]]:
        batch: list[_Waiting[Item, Result]] = []
        while self._waiting and len(batch) < self._size:
            each = self._waiting.popleft()
            late = each.deadline <= time.monotonic() and each.future.cancel()
            if not late and each.future.set_running_or_notify_cancel():
                batch.append(each)
        return batch


def _results(futures: Sequence[asyncio.Future[Result]]) -> list[Result | None]:
    """What is there by now. Asks every one for its error, so that none is called forgotten; raises the first."""
    finished = [future if future.done() and not future.cancelled() else None for future in futures]
    for error in [future.exception() for future in finished if future is not None]:
        if error is not None:
            raise error
    return [None if future is None else future.result() for future in finished]
