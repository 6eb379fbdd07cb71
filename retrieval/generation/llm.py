"""What answering asks of a language model, and the records that go to it and come from it."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, Protocol

from retrieval.access import Caller
from retrieval.domain import Origin, RankedPassage, Served, Tier, Usage
from retrieval.generation.drafts import Drafted
from retrieval.generation.tool_calls import ToolCall
from retrieval.upstream.breaker import BreakerState


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """The model has its first words. `passages` are those that it was shown: nothing else can be cited."""

    served: Served
    passages: tuple[RankedPassage, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolsAsked:
    """The model calls tools, at least one, instead of answering; `text` is what it said before, for nobody to see."""

    calls: tuple[ToolCall, ...]
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointState:
    """`unavailable`: it does not answer, or its breaker is open. `detail` says why, to the operator alone."""

    state: Literal["ready", "unavailable"]
    breaker: BreakerState
    detail: str


class Turn(Protocol):
    """A place among those whose answers are being written, and one deadline for all that is asked from it."""

    @property
    def cascades(self) -> bool:
        """Whether there are a small and a large tier."""

    @property
    def usage(self) -> Usage:
        """What all calls took so far, those that broke off included."""

    def stream(self, draft: Drafted) -> AsyncGenerator[Begun | ToolsAsked | str | Usage, None]:
        """`Begun`, then non-empty pieces of text, at least one, then exactly one `Usage`.

        Where the draft offers tools it may be `ToolsAsked` and `Usage` instead.
        Raises `LlmUnavailable` before `Begun`, `BudgetExhausted` where only money kept it from being asked, and
        `LlmInterrupted` after it. Closing the generator early ends the upstream call. Called again, it asks whom it
        asked last, and never again who broke off in the middle.
        """

    async def check_budget(self, draft: Drafted) -> None:
        """Returns when what is left of the budgets would pay for this now. Raises `BudgetExhausted`."""

    @property
    def cost_usd(self) -> Decimal | None:
        """What its calls have cost, those without a price nothing; None while none was made."""

    def escalate(self) -> None:
        """From now on only the large tier is asked."""

    async def leave(self) -> None:
        """Gives the place up: nothing more is asked."""


class Llm(Protocol):
    """Writes answers piece by piece."""

    @property
    def name(self) -> str:
        """The models' names."""

    def turn(
        self, caller: Caller, origin: Origin | None = None, start: Tier = "small"
    ) -> AbstractAsyncContextManager[Turn]:
        """Waits until an answer for this caller may be written, tenants in turn. Raises `Overloaded`.

        Its calls are booked as the caller's, with where the question came from. Where there are tiers, `start` is asked
        first, and the other one where it cannot answer.
        """

    async def endpoints(self) -> Mapping[str, EndpointState]:
        """The state of each endpoint, by name. Never raises."""

    async def close(self) -> None:
        """Gives connections back; nothing may be streaming."""
