"""The one owner of retries: when to ask again, and how long to wait first."""

import asyncio
import random

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_attempt, stop_before_delay
from tenacity.wait import wait_random_exponential

from retrieval.upstream.faults import Passing

_backoff = wait_random_exponential(multiplier=0.5, max=8)
_SPREAD = 0.25
"""Who was told one time comes that share of it later, by chance: not all at once."""


def retrying(retries: int, deadline: float) -> AsyncRetrying:
    """Calls again after `Passing`, at most `retries` times, and never when the wait would end past `deadline`.

    Waits exponentially with full jitter, or as long as the server asked and a little longer. `deadline` is a time of
    the running loop. What is raised in the end is the last call's own fault.
    """
    left = deadline - asyncio.get_running_loop().time()
    return AsyncRetrying(
        retry=retry_if_exception_type(Passing),
        stop=stop_after_attempt(retries + 1) | stop_before_delay(left),
        wait=_wait,
        reraise=True,
    )


def _wait(state: RetryCallState) -> float:
    fault = state.outcome.exception() if state.outcome else None
    asked_for = fault.retry_after if isinstance(fault, Passing) else None
    if asked_for is None:
        return _backoff(state)
    return asked_for * random.uniform(1, 1 + _SPREAD)  # noqa: S311 - no secret
