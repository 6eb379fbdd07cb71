"""What may be asked."""

from pydantic import Field

from api.schemas.base import Principals, QuestionText, Wire
from retrieval.access import Caller
from retrieval.domain import Question
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

    def by(self, caller: Caller) -> Question:
        """The question as this caller's. Raises `InvalidFilter`."""
        wanted = self.filter.parsed() if self.filter else None
        return Question(text=self.question, caller=caller, limit=self.limit, filter=wanted)


class AnswerRequest(SearchRequest):
    """A question to answer."""

    stream: bool = Field(True, description="Server-sent events; false, or `Accept: application/json`: one JSON body")

    @property
    def digest(self) -> bytes:
        """What makes it the same question as another, however the answer is to come and whoever asks."""
        return digest(self.model_dump(mode="json", by_alias=True, exclude={"stream", "principals"}))
