"""What a judge says of one answer, and what becomes of it where it says nothing that counts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from evals.judging.submission import Submission
from evals.measures import mean

_MOST_PROBLEMS = 3
_SUPPORTED = {"yes": 1.0, "partly": 0.5, "no": 0.0}
_SUPPORT = {"supports": 1.0, "partly": 0.5, "not": 0.0}
_BEST_RELEVANCE = 4


class Dimension(StrEnum):
    """What an answer is judged in."""

    GROUNDEDNESS = "groundedness"
    RELEVANCE = "relevance"
    CITATION_SUPPORT = "citation-support"


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class SentenceVerdict(_Model):
    sentence: int
    supported: Literal["yes", "partly", "no"]


class CitationVerdict(_Model):
    citation: int
    support: Literal["supports", "partly", "not"]


class Verdict(_Model):
    """The reason stands first: a model that writes it before the grades grades by it."""

    reason: str
    sentences: tuple[SentenceVerdict, ...]
    citations: tuple[CitationVerdict, ...]
    relevance: int = Field(ge=0, le=_BEST_RELEVANCE)

    def scores(self) -> dict[Dimension, float]:
        """Each dimension in [0, 1]; none where there was nothing to judge."""
        by_dimension = {
            Dimension.GROUNDEDNESS: [_SUPPORTED[each.supported] for each in self.sentences],
            Dimension.RELEVANCE: [self.relevance / _BEST_RELEVANCE],
            Dimension.CITATION_SUPPORT: [_SUPPORT[each.support] for each in self.citations],
        }
        return {dimension: mean(grades) for dimension, grades in by_dimension.items() if grades}

    def fits(self, submission: Submission) -> bool:
        """Whether it speaks of every sentence and every citation of the submission, once each, and of no other."""
        sentences = [each.sentence for each in self.sentences]
        citations = [each.citation for each in self.citations]
        return sentences == _numbers(submission.sentences) and citations == _numbers(submission.citations)


class Reason(StrEnum):
    """Why there is no verdict. Stable codes."""

    MALFORMED = "malformed"
    """What the judge wrote is no verdict, and was none when it was told so."""
    REFUSED = "refused"
    """The judge's server will not have this request, or withheld the answer."""
    TOO_LONG = "too_long"
    UNAVAILABLE = "unavailable"
    BUDGET = "budget"
    """The calls that were allowed are used up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unjudged:
    """No verdict, which is no score either. `detail` is in words of our own."""

    reason: Reason
    detail: str


class InvalidVerdict(ValueError):
    """What a judge wrote is no verdict on what it was shown. `str()` of it repeats nothing that the judge wrote."""


def read_verdict(text: str, submission: Submission) -> Verdict:
    """The verdict in a model's text, a code fence or words around it left aside. Raises `InvalidVerdict`."""
    try:
        verdict = Verdict.model_validate_json(text[max(text.find("{"), 0) : text.rfind("}") + 1])
    except ValidationError as error:
        raise InvalidVerdict("; ".join(_problems(error))) from None
    if not verdict.fits(submission):
        raise InvalidVerdict(
            f"'sentences' must be numbered 1 to {len(submission.sentences)} and 'citations' 1 to"
            f" {len(submission.citations)}, in order, each number once"
        )
    return verdict


def response_format() -> dict[str, Any]:
    """A verdict's JSON schema, as the protocol asks for it."""
    schema = Verdict.model_json_schema()
    return {"type": "json_schema", "json_schema": {"name": "verdict", "strict": True, "schema": schema}}


def _problems(error: ValidationError) -> list[str]:
    return [_problem(found) for found in error.errors(include_input=False, include_url=False)[:_MOST_PROBLEMS]]


def _problem(found: Mapping[str, Any]) -> str:
    """Where and what; but not a parser's message nor an unknown field's name, which are the judge's own words."""
    if found["type"] == "json_invalid":
        return "the reply is not one whole JSON object"
    place = found["loc"][:-1] if found["type"] == "extra_forbidden" else found["loc"]
    return f"{'.'.join(map(str, place)) or 'the object'}: {found['msg']}"


def _numbers(things: Sequence[object]) -> list[int]:
    return list(range(1, len(things) + 1))
