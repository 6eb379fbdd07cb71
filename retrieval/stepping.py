"""Writing an answer in steps: the model may ask its tools for more before its first word, a limited number of times."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from retrieval.domain import Question, StepTaken, Usage
from retrieval.engine import Engine
from retrieval.generation.drafts import Draft
from retrieval.generation.llm import Begun, ToolsAsked, Turn
from retrieval.generation.tool_calls import Exchange
from retrieval.tooling import Toolbox, Used


async def in_steps(
    engine: Engine, turn: Turn, question: Question, draft: Draft
) -> AsyncGenerator[StepTaken | Begun | str | Usage, None]:
    """A `StepTaken` for each call the model makes, then what a `Turn` streams; the usage is that of all its replies.

    After the last step that is allowed it is asked without tools. Calls beyond it are not made, nor told.
    Raises like `Turn.stream()`.
    """
    limits, spent = engine.settings.llm, list[Usage]()
    until = asyncio.get_running_loop().time() + limits.deadline
    box, taken = Toolbox(engine, question, draft.passages), 0
    while True:
        asked = None
        offered = draft if taken < limits.tool_steps else replace(draft, tools=frozenset())
        async with aclosing(turn.stream(offered)) as pieces:
            async for piece in pieces:
                if isinstance(piece, ToolsAsked):
                    asked = piece
                elif isinstance(piece, Usage):
                    spent.append(piece)
                else:
                    yield piece
        if asked is None:
            yield sum(spent[1:], spent[0])
            return
        used = list[Used]()
        for call in asked.calls[: limits.tool_steps - taken]:
            taken += 1
            used.append(await box.use(call, taken, until))
            engine.telemetry.stepped(used[-1].step)
            yield used[-1].step
        draft = replace(draft, exchanges=(*draft.exchanges, _exchange(asked.text, used)))


def _exchange(text: str, used: list[Used]) -> Exchange:
    return Exchange(text=text, calls=tuple(each.call for each in used), results=tuple(each.result for each in used))
