"""How long each stage took."""

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import ParamSpec, TypeVar

from retrieval.tracing import span

Given = ParamSpec("Given")
Result = TypeVar("Result")


class Stopwatch:
    """Wall-clock milliseconds by stage, and `total` since it was made."""

    def __init__(self) -> None:
        self._begun = time.perf_counter()
        self._stages: dict[str, float] = {}

    async def timed(
        self, stage: str, work: Callable[Given, Awaitable[Result]], *args: Given.args, **more: Given.kwargs
    ) -> Result:
        """The work's result; its duration is added to the stage's, and it is a span of its own."""
        begun = time.perf_counter()
        try:
            with span(stage):
                return await work(*args, **more)
        finally:
            self._stages[stage] = self._stages.get(stage, 0.0) + (time.perf_counter() - begun) * 1000

    def milliseconds(self) -> Mapping[str, float]:
        """All stages so far, and the total."""
        return {**self._stages, "total": (time.perf_counter() - self._begun) * 1000}
