"""What a question in a conversation asks for: one that leans on what was said before is made to stand alone.

By the LLM, in a turn of the caller's and a call of its own; where there is none, or it gives way, by words alone. A
question that stands alone costs nothing.
"""

import asyncio
from contextlib import aclosing
from dataclasses import dataclass, replace
from decimal import Decimal

import structlog

from retrieval.domain import Degradation, Question, Usage
from retrieval.engine import Engine
from retrieval.errors import BudgetExhausted, LlmUnavailable, Overloaded
from retrieval.generation.follow_ups import FollowUp, leans, recent, rewording, with_words_of
from retrieval.generation.llm import Llm
from retrieval.generation.masking import shielded
from retrieval.searching import MAX_QUESTION_CHARS, check_question
from retrieval.settings import GuardSettings

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Understood:
    """A question with as much of its history as is read, and what to search for it."""

    question: Question
    search: str
    usage: Usage | None = None
    cost_usd: Decimal | None = None
    degraded: tuple[Degradation, ...] = ()

    @property
    def searched(self) -> Question:
        """The question as it is searched for."""
        return replace(self.question, text=self.search)

    @property
    def reworded(self) -> str | None:
        """What is searched for, where it is not the question itself."""
        return self.search if self.search != self.question.text else None


async def understand(engine: Engine, question: Question) -> Understood:
    """The question, and what to search for. Raises `InvalidQuestion`; a model that fails is worked around."""
    check_question(question.text)
    if question.history:
        question = replace(question, history=recent(question.history, engine.settings.llm.history_tokens))
    if not question.history or not leans(question.text):
        return Understood(question=question, search=question.text)
    in_words = with_words_of(question.history, question.text, MAX_QUESTION_CHARS)
    if engine.llm is None:
        return Understood(question=question, search=in_words)
    cost = _Cost()
    try:
        async with asyncio.timeout(engine.settings.llm.rewrite_timeout):
            written, usage = await _asked(engine.llm, engine.settings.guard, question, cost)
    except (LlmUnavailable, Overloaded, BudgetExhausted, TimeoutError) as error:
        _log.warning("rewrite_unavailable", reason=str(error) or "out of time")
        understood = Understood(question=question, search=in_words, degraded=(Degradation.REWRITE_UNAVAILABLE,))
        return replace(understood, cost_usd=cost.usd)
    search = rewording(question.text, question.history, written)
    degraded = () if search else (Degradation.REWRITE_UNAVAILABLE,)
    understood = Understood(question=question, search=search or in_words, usage=usage, degraded=degraded)
    return replace(understood, cost_usd=cost.usd)


@dataclass(slots=True)
class _Cost:
    """What the call cost, also where it failed."""

    usd: Decimal | None = None


async def _asked(llm: Llm, guard: GuardSettings, question: Question, cost: _Cost) -> tuple[str, Usage]:
    written, usage = list[str](), list[Usage]()
    async with llm.turn(question.caller, question.origin) as turn:
        draft = FollowUp(question=question.text, history=question.history)
        try:
            async with aclosing(shielded(turn, guard).stream(draft)) as pieces:
                async for piece in pieces:
                    if isinstance(piece, str):
                        written.append(piece)
                    elif isinstance(piece, Usage):
                        usage.append(piece)
        finally:
            cost.usd = turn.cost_usd
    return "".join(written), usage[-1]
