"""How what goes on in the background is stopped."""

import asyncio
from typing import Any

_AGAIN = 30.0
"""Longer than anything takes to clean up: a second cancellation would break into that."""


async def stopped(*tasks: "asyncio.Future[Any]", again: float = _AGAIN) -> None:
    """Cancels the tasks and returns when all have ended, whatever they ended by.

    They are cancelled anew every `again` seconds, for a cancellation can be lost on its way to a loop: Python 3.11's
    `wait_for()`, by which connection pools wait, drops one that comes together with what is waited for, and cleaning
    up may fail with an error that the loop outlives.
    """
    while pending := [task for task in tasks if not task.done()]:
        for task in pending:
            task.cancel()
        await asyncio.wait(pending, timeout=again)
    await asyncio.gather(*tasks, return_exceptions=True)
