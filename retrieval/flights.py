"""What is under way in this process: whoever asks first does the work, the others wait for it."""

import asyncio
from typing import Generic, TypeVar

Result = TypeVar("Result")


class Flights(Generic[Result]):
    """Work by key. Each piece has one leader at a time, who lands it, however it ends."""

    def __init__(self) -> None:
        self._aloft: dict[bytes, asyncio.Future[Result | None]] = {}

    def join(self, key: bytes) -> asyncio.Future[Result | None] | None:
        """What comes of the work, for those who wait (behind `asyncio.shield`): None when its leader gave up.

        None instead where nobody is at it: the caller leads from now on, and has to land.
        """
        if (aloft := self._aloft.get(key)) is not None:
            return aloft
        self._aloft[key] = asyncio.get_running_loop().create_future()
        return None

    def land(self, key: bytes, result: Result | None) -> None:
        """Ends the work; all who wait are told."""
        self._aloft.pop(key).set_result(result)
