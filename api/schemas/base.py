"""What every part of the wire is made of, and the body of every error."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainSerializer, StringConstraints
from pydantic_core import PydanticCustomError


def without_nul(text: str) -> str:
    """The text, which Postgres can take."""
    if "\0" in text:
        raise PydanticCustomError("nul_character", "may not contain NUL characters")
    return text


QuestionText = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2000), AfterValidator(without_nul)
]
MessageText = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=8000), AfterValidator(without_nul)
]
Principal = Annotated[str, StringConstraints(min_length=1, max_length=221)]
Principals = Annotated[list[Principal], Field(max_length=500)]

# An exact score would tell how common a word is in all documents, also those that the asker may not see.
Rounded = Annotated[float, AfterValidator(lambda number: round(number, 2))]
Usd = Annotated[Decimal, PlainSerializer(lambda amount: f"{amount:f}", return_type=str)]
"""An exact amount, written as digits alone: a float would not add up."""


class Wire(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ErrorDetail(Wire):
    code: str = Field(description="Stable, for programs", examples=["invalid_request"])
    message: str = Field(description="For people; may change")
    request_id: str = Field(description="The same as the `X-Request-ID` header")
    reset_at: datetime | None = Field(
        None, exclude_if=lambda moment: moment is None, description="When asking again may help, where that is known"
    )


class ErrorBody(Wire):
    """The body of every error."""

    error: ErrorDetail
