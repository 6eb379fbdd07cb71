"""Concurrent callers share a model's batches in turn, each with a deadline of its own."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Lock
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

CHARACTERS_AT_ONCE = 2400
"""Of texts that are read while a caller waits: two long passages or many short ones, a fraction of any deadline."""


def length(*texts: str) -> int:
    """What it costs to read these together, in characters; the shortest text costs something too."""
    return 50 + sum(map(len, texts))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Waiting(Generic[Item, Result]):
    item: Item
    weight: int
    keep: Callable[[Item, Result], None] | None
    future: Future[Result] = field(default_factory=Future)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Call(Generic[Item, Result]):
    waiting: deque[_Waiting[Item, Result]]
    deadline: float

    def take(self, batch: list[_Waiting[Item, Result]], size: int) -> None:
        """Moves into the batch what it has room for. An empty one has room for anything."""
        while self.waiting and (not batch or _weight((*batch, self.waiting[0])) <= size):
            each = self.waiting.popleft()
            if each.future.set_running_or_notify_cancel():
                batch.append(each)


class Batcher(Generic[Item, Result]):
    """Works off on a thread what waits, a batch at a time: of each caller in turn, filled up from those behind it.

    It never waits for a batch to fill: what comes while one is computed makes up the next. Between two batches, others
    who work on the same thread come in. An item whose deadline has passed, or whose caller has gone, is dropped before
    its batch begins; a batch once begun is finished.
    """

    def __init__(
        self,
        work: Callable[[list[Item]], Iterable[Result]],
        thread: ThreadPoolExecutor,
        size: int,
        *,
        closed: Callable[[], Exception],
        weigh: Callable[[Item], int] = lambda _: 1,
    ) -> None:
        """`work` gives one result per item, in order; `size` is what a batch may weigh, a heavier item is one alone.

        A batch that fails is tried again item by item, so that what an item raises only its own caller gets. `closed`
        makes what callers get after `close`.
        """
        self._work = work
        self._thread = thread
        self._size = size
        self._weigh = weigh
        self._error = closed
        self._closed = False
        self._lock = Lock()
        self._calls: deque[_Call[Item, Result]] = deque()
        self._busy = False
        self._pace = 0.0
        self._free_at = 0.0

    async def run(
        self, items: Sequence[Item], seconds: float, keep: Callable[[Item, Result], None] | None = None
    ) -> list[Result | None]:
        """A result for each item, None where the time ran out first. The first items are worked on first.

        All are None at once when those ahead need all the time, going by how long batches took so far. `keep` gets
        every result on the thread, also what comes too late for the caller. Raises what the work raised, or `closed`.
        """
        waiting = [_Waiting(item=item, weight=self._weigh(item), keep=keep) for item in items]
        call = _Call(waiting=deque(waiting), deadline=time.monotonic() + seconds)
        if not self._joined(call):
            return [None] * len(items)
        futures = [asyncio.wrap_future(each.future) for each in waiting]
        try:
            if futures:
                await asyncio.wait(futures, timeout=seconds)
        finally:
            for future in futures:
                future.cancel()
            with self._lock, suppress(ValueError):
                self._calls.remove(call)
        return _results(futures)

    def close(self) -> None:
        """Whatever waits ends at once; a batch that has begun is finished."""
        with self._lock:
            self._closed = True
            left = [each for call in self._calls for each in call.waiting]
            self._calls.clear()
        for each in left:
            if each.future.set_running_or_notify_cancel():
                each.future.set_exception(self._error())

    def _joined(self, call: _Call[Item, Result]) -> bool:
        with self._lock:
            if self._closed:
                raise self._error()
            if self._comes_too_late(call):
                return False
            self._calls.append(call)
            if not self._busy:
                self._busy = True
                self._thread.submit(self._turn)
            return True

    def _comes_too_late(self, call: _Call[Item, Result]) -> bool:
        """Whether a first batch cannot be done in time behind what is computed now and one batch of each caller.

        Never so where nothing is ahead: then the work is begun, and the pace measured anew.
        """
        now = time.monotonic()
        ahead = sum(self._first_batch(each) for each in self._calls if each.deadline > now)
        seconds = max(0.0, self._free_at - now) + self._pace * ahead
        return seconds > 0 and now + seconds + self._pace * self._first_batch(call) > call.deadline

    def _first_batch(self, call: _Call[Item, Result]) -> int:
        return min(_weight(call.waiting), self._size)

    def _turn(self) -> None:
        """One batch, not all that wait: others who work on the same thread come in between."""
        try:
            with self._lock:
                batch = self._next_batch()
                self._free_at = time.monotonic() + self._pace * _weight(batch)
            if batch:
                self._compute(batch)
        finally:
            with self._lock:
                self._free_at = 0.0
                self._busy = bool(self._calls)
                if self._busy:
                    self._thread.submit(self._turn)

    def _next_batch(self) -> list[_Waiting[Item, Result]]:
        batch: list[_Waiting[Item, Result]] = []
        now = time.monotonic()
        self._calls = deque(call for call in self._calls if call.deadline > now)
        for call in self._calls:
            call.take(batch, self._size)
            if call.waiting:
                break
        if self._calls and self._calls[0].waiting:
            self._calls.rotate(-1)
        self._calls = deque(call for call in self._calls if call.waiting)
        return batch

    def _compute(self, batch: list[_Waiting[Item, Result]]) -> None:
        began = time.monotonic()
        try:
            found = list(zip(batch, self._work([each.item for each in batch]), strict=True))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is for the callers to hear
            if len(batch) == 1:
                batch[0].future.set_exception(error)
                return
            for each in batch:
                self._compute([each])
            return
        pace = (time.monotonic() - began) / _weight(batch)
        self._pace = (self._pace + pace) / 2 if self._pace else pace
        self._free_at = 0.0  # before anyone hears of it: who asks next finds nothing ahead
        for each, result in found:
            if each.keep is not None:
                each.keep(each.item, result)
            each.future.set_result(result)


def _weight(waiting: Iterable[_Waiting[Item, Result]]) -> int:
    return sum(each.weight for each in waiting)


def _results(futures: Sequence[asyncio.Future[Result]]) -> list[Result | None]:
    """What is there by now. Asks every one for its error, so that none is called forgotten; raises the first."""
    finished = [future if future.done() and not future.cancelled() else None for future in futures]
    for error in [future.exception() for future in finished if future is not None]:
        if error is not None:
            raise error
    return [None if future is None else future.result() for future in finished]
