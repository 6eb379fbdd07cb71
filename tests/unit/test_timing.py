"""Stages of a search that is given up."""

import asyncio
import gc

from retrieval.timing import Stopwatch


async def test_a_stage_given_up_before_its_first_step_leaves_nothing_behind() -> None:
    """Nothing is begun, so nothing is reported as never awaited: warnings are errors here."""
    begun = list[str]()

    async def work(name: str) -> None:
        begun.append(name)

    watch = Stopwatch()
    stage = asyncio.create_task(watch.timed("embed", work, "embed"))
    stage.cancel()
    await asyncio.gather(stage, return_exceptions=True)
    gc.collect()
    assert not begun
