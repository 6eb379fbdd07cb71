"""Whose turn it is: so many at once, a bounded line behind them, tenants served one after another.

Work that piles up helps nobody: each piece takes longer, until all end too late. So what does not fit is told at
once to come back. The line is fair by tenant, not by arrival: one that asks a hundred things makes itself wait.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from retrieval.access import TenantId
from retrieval.errors import Overloaded

Place = asyncio.Future[None]


class Admission:
    """Lets `at_once` callers in. At most `waiting` more stand in line, none of them longer than `patience` seconds."""

    def __init__(self, at_once: int, waiting: int, patience: float) -> None:
        self._free = at_once
        self._waiting = waiting
        self._patience = patience
        self._lines: dict[TenantId, deque[Place]] = {}  # in the order in which the tenants are served

    @property
    def pressure(self) -> int:
        """0 while the next to come is let in at once, else its place in the line."""
        return 0 if self._free else 1 + sum(map(len, self._lines.values()))

    @asynccontextmanager
    async def turn(self, tenant: TenantId) -> AsyncIterator[None]:
        """The block runs when it is the tenant's turn.

        Raises `Overloaded` when the line is full (who has the most in it loses the newest) or moves too slowly.
        """
        await self._enter(tenant)
        try:
            yield
        finally:
            self._pass_on()

    async def _enter(self, tenant: TenantId) -> None:
        if self._free:
            self._free -= 1
            return
        self._make_room(tenant)
        place: Place = asyncio.get_running_loop().create_future()
        self._lines.setdefault(tenant, deque()).append(place)
        try:
            async with asyncio.timeout(self._patience):
                await place
        except BaseException as error:
            self._leave(tenant, place)
            if isinstance(error, TimeoutError):
                raise Overloaded("the service is busy: it was not your turn in time") from error
            raise

    def _make_room(self, tenant: TenantId) -> None:
        if sum(map(len, self._lines.values())) < self._waiting:
            return
        longest = max(self._lines, key=lambda each: len(self._lines[each]), default=tenant)
        if len(self._lines.get(tenant, ())) + 1 >= len(self._lines.get(longest, ())):
            raise Overloaded("the service is busy: too many are waiting")
        newest = self._lines[longest].pop()
        if not newest.done():
            newest.set_exception(Overloaded("the service is busy: too many of this tenant are waiting"))

    def _leave(self, tenant: TenantId, place: Place) -> None:
        line = self._lines.get(tenant, deque())
        if place in line:
            line.remove(place)
            if not line:
                del self._lines[tenant]
        elif not place.cancelled() and place.exception() is None:
            self._pass_on()  # its turn had come in the very moment in which it gave up

    def _pass_on(self) -> None:
        while self._lines:
            tenant = next(iter(self._lines))
            line = self._lines.pop(tenant)
            place = line.popleft()
            if line:
                self._lines[tenant] = line
            if not place.done():  # who was cancelled this very moment has not left the line yet
                place.set_result(None)
                return
        self._free += 1
