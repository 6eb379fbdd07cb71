"""What may be asked."""

from dataclasses import replace
from typing import Literal

from pydantic import Field

from api.schemas.base import MessageText, Principals, QuestionText, Wire
from retrieval.access import Caller
from retrieval.domain import Question, Tool, Utterance
from retrieval.filter_json import FilterInput

_SPEAK_FOR = (
    "On whose behalf (`user:ada`, `group:eng`). With the scope `act_as` only: left out or empty, such a key sees what "
    "everyone may see. Keys without it ask as the principals they were made with and may not send any."
)


class SearchRequest(Wire):
    """A question to find passages for."""

    question: QuestionText = Field(description="In the asker's own words, 1 to 2000 characters")
    principals: Principals | None = Field(None, description=_SPEAK_FOR, examples=[["user:ada", "group:eng"]])
    limit: int = Field(8, ge=1, le=20, description="Most passages to find")
    filter: FilterInput | None = Field(None, description="What the passages and their documents must be like")

    def by(self, caller: Caller) -> Question:
        """The question as this caller's. Raises `InvalidFilter`."""
        wanted = self.filter.parsed() if self.filter else None
        return Question(text=self.question, caller=caller, limit=self.limit, filter=wanted)


class MessageIn(Wire):
    """An earlier turn of the conversation."""

    role: Literal["user", "assistant"]
    content: MessageText


class AnswerRequest(SearchRequest):
    """A question to answer."""

    messages: list[MessageIn] = Field(
        [],
        max_length=20,
        description="The conversation before the question, oldest first. It only tells what the question is about:"
        " nothing said in it is a source. What is too long altogether is dropped, the oldest first",
    )
    tools: bool | list[Tool] = Field(
        False, description="What the model may do for itself, as the asker and under the same filter; true: all of it"
    )
    stream: bool = Field(True, description="Server-sent events; false, or `Accept: application/json`: one JSON body")

    def by(self, caller: Caller) -> Question:
        """The question as this caller's, with its conversation and tools. Raises `InvalidFilter`."""
        history = tuple(Utterance(role=message.role, text=message.content) for message in self.messages)
        tools = frozenset(Tool) if self.tools is True else frozenset(self.tools or ())
        return replace(SearchRequest.by(self, caller), history=history, tools=tools)
