"""What may be asked."""

from dataclasses import replace
from typing import Any, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from api.schemas.base import MessageText, Principals, QuestionText, Wire
from retrieval.access import Caller
from retrieval.domain import Question, ResponseFormat, Surroundings, Tool, Utterance
from retrieval.filter_json import FilterInput
from retrieval.keeping.identity import digest

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
    expand: Surroundings = Field(
        Surroundings.NONE,
        description="Passages grown by what stands around them, the best first, as far as a model is given it besides"
        " all of them: by the chunk before and after each (`neighbours`), or by the rest of its section (`section`)",
    )

    def by(self, caller: Caller) -> Question:
        """The question as this caller's. Raises `InvalidFilter`."""
        wanted = self.filter.parsed() if self.filter else None
        return Question(text=self.question, caller=caller, limit=self.limit, filter=wanted, surroundings=self.expand)


class JsonSchemaInput(Wire):
    """A JSON schema, draft 2020-12, of at most 16,000 bytes; patterns are RE2's, references stay within it."""

    name: str = Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")
    description: str | None = Field(None, max_length=1000)
    given: dict[str, Any] = Field(alias="schema")
    strict: bool | None = Field(None, description="Handed on: some providers then keep to the schema word for word")


class ResponseFormatInput(Wire):
    """JSON rather than text, as OpenAI's API asks for it."""

    type: Literal["json_schema"]
    json_schema: JsonSchemaInput

    def parsed(self) -> ResponseFormat:
        asked = self.json_schema
        return ResponseFormat(name=asked.name, schema=asked.given, strict=bool(asked.strict))


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
    response_format: ResponseFormatInput | None = Field(
        None, description="The answer is to be JSON that fits a schema: `structured`. It comes whole, after `citation`s"
    )
    cache: bool = Field(True, description="false: written anew for this request, and not kept")
    stream: bool = Field(True, description="Server-sent events; false, or `Accept: application/json`: one JSON body")

    @model_validator(mode="after")
    def _is_one_kind_of_answer(self) -> Self:
        if self.tools and self.response_format:
            raise PydanticCustomError("two_kinds", "tools and response_format do not go together")
        return self

    def by(self, caller: Caller) -> Question:
        """The question as this caller's, with all that belongs to it. Raises `InvalidFilter`."""
        return replace(
            super().by(caller),
            history=tuple(Utterance(role=message.role, text=message.content) for message in self.messages),
            tools=frozenset(Tool) if self.tools is True else frozenset(self.tools or ()),
            response_format=self.response_format.parsed() if self.response_format else None,
            cache=self.cache,
        )

    @property
    def digest(self) -> bytes:
        """What makes it the same question as another, however the answer is to come and whoever asks."""
        return digest(self.model_dump(mode="json", by_alias=True, exclude={"stream", "principals"}))
