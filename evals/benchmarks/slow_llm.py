"""An OpenAI-compatible server that says so many words, one after each pause: `python -m evals.benchmarks.slow_llm`."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Annotated

import typer
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

_HEAD = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "slow"}


def main(port: int, words: Annotated[int, typer.Option(min=1)] = 1, pause: float = 0.0) -> None:
    """Serves until it is ended."""

    async def said() -> AsyncIterator[str]:
        for number in range(words):
            await asyncio.sleep(pause)
            yield _chunk([{"index": 0, "delta": {"content": f"word{number} "}, "finish_reason": None}])
        yield _chunk([{"index": 0, "delta": {}, "finish_reason": "stop"}])
        yield "data: [DONE]\n\n"

    async def completions(_: Request) -> Response:
        return StreamingResponse(said(), media_type="text/event-stream")

    app = Starlette(routes=[Route("/v1/chat/completions", completions, methods=["POST"])])
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="critical", backlog=4096)


def _chunk(choices: list[dict[str, object]]) -> str:
    return f"data: {json.dumps({**_HEAD, 'choices': choices})}\n\n"


if __name__ == "__main__":
    typer.run(main)
