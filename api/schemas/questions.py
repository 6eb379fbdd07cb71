"""What may be asked."""

from dataclasses import replace
from typing import Any, Literal

from pydantic import Field

from api.schemas.base import Principals, QuestionText, Wire
from retrieval.access import Caller
from retrieval.domain import Question, ResponseFormat
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


class AnswerRequest(SearchRequest):
    """A question to answer."""

    response_format: ResponseFormatInput | None = Field(
        None, description="The answer is to be JSON that fits a schema: `structured`. It comes whole, after `citation`s"
    )

    stream: bool = Field(True, description="Server-sent events; false, or `Accept: application/json`: one JSON body")

    def by(self, caller: Caller) -> Question:
        """The question as this caller's. Raises `InvalidFilter`."""
        wanted = self.response_format.parsed() if self.response_format else None
        return replace(super().by(caller), response_format=wanted)
