"""What stands between an upstream's first token and its reader: `python -m evals.benchmarks.first_token`.

CPU time of one thread, without HTTP on our side: an answer up to its first words, less the search that is part of it,
less the upstream's first words, to the same prompt, read by its own client. Booking, breaker, line, packing and guard
remain.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Annotated

import typer
from openai import AsyncOpenAI
from openai.types.chat import ChatCompletionUserMessageParam

from evals.benchmarks.made_up_words import MadeUpWords
from evals.benchmarks.measuring import markdown, publish
from evals.benchmarks.streams import CHUNKS, TENANT, load, upstream_serving
from retrieval.access import caller
from retrieval.answering import answer
from retrieval.database.preparing import prepare_database
from retrieval.domain import Question, TextDelta
from retrieval.engine import open_engine
from retrieval.generation.prompting import build_prompt
from retrieval.searching import retrieve
from retrieval.settings import (
    CacheSettings,
    DatabaseSettings,
    EmbedderSettings,
    LlmSettings,
    RerankerSettings,
    Settings,
)

_WARM_UP, _ROUNDS = 10, 100


def main(
    data_dir: Annotated[Path, typer.Option(help="Holds the made-up index; made when it is not there")],
    record: Annotated[bool, typer.Option(help="Puts the result into RESULTS.md")] = False,
) -> None:
    """Prints the table, with kept answers off and on (never a hit: each question is asked once)."""
    settings = Settings(
        database=DatabaseSettings(data_dir=data_dir, database_url=None),
        embedder=EmbedderSettings(provider="openai", model="made-up", base_url="http://127.0.0.1:9/v1"),
        reranker=RerankerSettings(provider="none"),
    )
    load(prepare_database(settings))
    with upstream_serving("--words", "5") as upstream:  # a word waits for the next: it could be a link's beginning
        asked = replace(settings, llm=LlmSettings(model="slow", base_url=upstream, ask_from=0))
        rows = [asyncio.run(_measured(replace(asked, cache=CacheSettings(enabled=on)))) for on in (False, True)]
    columns = ["kept answers", "a search", "the upstream's first words", "an answer's", "added"]
    table = markdown(columns, [[name, *row] for name, row in zip(("off", "on"), rows, strict=True)])
    about = f"CPU time of one thread, median of {_ROUNDS}; {CHUNKS} made-up chunks, searched by words."
    publish("first-token", "The first token", f"{about}\n\n{table}", record=record)


async def _measured(settings: Settings) -> list[str]:
    who, words = caller(TENANT, ()), MadeUpWords(CHUNKS)
    questions = [Question(text=text, caller=who, limit=8) for text in words.questions(_WARM_UP + _ROUNDS)]
    async with open_engine(settings) as engine, AsyncOpenAI(base_url=settings.llm.base_url, api_key="none") as direct:

        async def search(question: Question) -> float:
            await retrieve(engine, question)
            return time.thread_time()

        prompts = {each.text: build_prompt(each.text, (await retrieve(engine, each)).passages) for each in questions}

        async def ask(question: Question) -> float:
            message = ChatCompletionUserMessageParam(role="user", content=prompts[question.text].user)
            async with await direct.chat.completions.create(model="slow", messages=[message], stream=True) as chunks:
                async for chunk in chunks:
                    if chunk.choices and chunk.choices[0].delta.content:
                        return time.thread_time()
            raise AssertionError("the upstream said nothing")

        async def first_words(question: Question) -> float:
            async with aclosing(answer(engine, question)) as events:
                async for event in events:
                    if isinstance(event, TextDelta):
                        return time.thread_time()
            raise AssertionError("the answer has no words")

        found, upstreams, ours = [await _cpu(work, questions) for work in (search, ask, first_words)]
    return [f"{milliseconds:.1f} ms" for milliseconds in (found, upstreams, ours, ours - found - upstreams)]


async def _cpu(work: Callable[[Question], Awaitable[float]], questions: list[Question]) -> float:
    """Milliseconds up to the moment that the work tells: what it does after its first words is not counted."""
    spent = [-time.thread_time() + await work(question) for question in questions]
    return median(spent[_WARM_UP:]) * 1000


if __name__ == "__main__":
    typer.run(main)
