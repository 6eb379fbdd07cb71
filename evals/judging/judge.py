"""The judge: a language model behind any OpenAI-compatible server, asked as often as is allowed and no more."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace

from evals.judging.rubric import RUBRIC_VERSION, build_prompt, build_repair
from evals.judging.submission import Submission
from evals.judging.verdict import InvalidVerdict, Reason, Unjudged, Verdict, read_verdict, response_format
from retrieval.domain import Usage
from retrieval.endpoints import EndpointSettings
from retrieval.generation.chat import ChatClient
from retrieval.generation.prompting import Prompt
from retrieval.generation.reply import ReplyText
from retrieval.settings import BreakerSettings, LlmSettings
from retrieval.upstream.breaker import Breaker
from retrieval.upstream.faults import Fault, Refused, TooLong
from retrieval.upstream.retrying import retrying


class Judge:
    """Asks for verdicts. `calls` counts every request sent, also those that failed; `used` the tokens they took."""

    def __init__(self, client: ChatClient, model: str, settings: LlmSettings, breaker: Breaker, max_calls: int) -> None:
        self.model = model
        self.calls = 0
        self.used: list[Usage] = []
        self._settings = settings
        self._max_calls = max_calls
        self._client = client
        self._breaker = breaker
        self._takes_shapes = True

    async def verdict(self, submission: Submission) -> Verdict | Unjudged:
        """One verdict; a reply that is none is sent back once, with what is wrong with it. Never raises."""
        prompt = build_prompt(submission)
        try:
            reply = await self._ask(prompt)
            try:
                return read_verdict(reply, submission)
            except InvalidVerdict as error:
                repaired = await self._ask(build_repair(prompt, reply, str(error)))
            return read_verdict(repaired, submission)
        except InvalidVerdict as error:
            return Unjudged(reason=Reason.MALFORMED, detail=str(error))
        except _Spent:
            return Unjudged(reason=Reason.BUDGET, detail=f"all {self._max_calls} calls are used up")
        except Fault as fault:
            return Unjudged(reason=_reason(fault), detail=str(fault))

    async def _ask(self, prompt: Prompt) -> str:
        """The reply, in a verdict's shape where the server can hold a model to it."""
        if not self._takes_shapes:
            return await self._patiently(prompt)
        try:
            return await self._patiently(replace(prompt, response_format=response_format()))
        except Refused:
            reply = await self._patiently(prompt)
            self._takes_shapes = False  # it was the shape: without it the same request is answered
            return reply

    async def _patiently(self, prompt: Prompt) -> str:
        """Also after words were written: nobody has read them yet."""
        deadline = asyncio.get_running_loop().time() + self._settings.deadline
        ask = retrying(self._settings.retries, deadline)
        reply: str = await ask(self._call, prompt, deadline)
        return reply

    async def _call(self, prompt: Prompt, deadline: float) -> str:
        text = ReplyText(prompt, self._settings.max_output_tokens)
        with self._breaker.call() as answers:
            self._count()
            try:
                async with self._client.reply(text, deadline) as reply:
                    answers()
                    async with aclosing(reply.pieces(deadline)) as pieces:
                        return "".join([piece async for piece in pieces])
            finally:
                self.used.append(text.taken or text.usage)

    def _count(self) -> None:
        if self.calls >= self._max_calls:
            raise _Spent
        self.calls += 1


class _Spent(Exception):
    pass


@asynccontextmanager
async def open_judge(
    endpoint: EndpointSettings, settings: LlmSettings, breaker: BreakerSettings, max_calls: int
) -> AsyncIterator[Judge]:
    """A judge whose connections are given back when the block ends."""
    client = ChatClient(endpoint, settings)
    try:
        yield Judge(client, endpoint.model, settings, Breaker(endpoint.name, breaker), max_calls)
    finally:
        await client.close()


def verdict_key(model: str, submission: Submission) -> str:
    """The same for the same judge, rubric and submission, and for nothing else."""
    prompt = build_prompt(submission)
    return hashlib.sha256(json.dumps([model, RUBRIC_VERSION, prompt.system, prompt.user]).encode()).hexdigest()


def _reason(fault: Fault) -> Reason:
    if isinstance(fault, Refused):
        return Reason.REFUSED
    return Reason.TOO_LONG if isinstance(fault, TooLong) else Reason.UNAVAILABLE
