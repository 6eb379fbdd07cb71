"""A filter as JSON, as HTTP and the command line take it.

`{"and": [{"field": "metadata.department", "eq": "finance"},
          {"field": "updated_at", "range": {"gte": "2026-01-01"}},
          {"not": {"field": "uri", "prefix": "archive/"}}]}`
"""

from typing import Annotated, LiteralString, Self, TypeAlias

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from retrieval.errors import InvalidFilter
from retrieval.filters import (
    MAX_CONDITIONS,
    MAX_DEPTH,
    MAX_TEXT_CHARS,
    MAX_VALUES,
    AllOf,
    AnyOf,
    Bound,
    Exists,
    Filter,
    Not,
    OneOf,
    StartsWith,
    Value,
    Within,
    read_date,
)


def _or_else(wants: LiteralString) -> WrapValidator:
    """One complaint for a union, not one for each of its members."""

    def validate(raw: object, read: ValidatorFunctionWrapHandler) -> object:
        try:
            return read(raw)
        except ValidationError as error:
            raise PydanticCustomError("wrong_type", wants) from error

    return WrapValidator(validate)


Text = Annotated[str, Field(max_length=MAX_TEXT_CHARS)]
Number: TypeAlias = int | Annotated[float, Field(allow_inf_nan=False)]
JsonValue = Annotated[bool | Number | Text, _or_else("wants short text, a number or a truth value")]
JsonBound = Annotated[Number | Text, _or_else("wants a number or a date")]
Joined = Annotated[list["FilterJson"], Field(min_length=1, max_length=MAX_CONDITIONS)]


class _Json(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class RangeJson(_Json):
    """Numbers, or ISO dates and times (UTC where no zone is named; a day stands for the whole of it)."""

    gte: JsonBound | None = None
    gt: JsonBound | None = None
    lte: JsonBound | None = None
    lt: JsonBound | None = None

    def parsed(self, field: str) -> Within:
        """Raises `InvalidFilter` for text that is no date."""
        gte, gt, lte, lt = (_bound(field, raw) for raw in (self.gte, self.gt, self.lte, self.lt))
        return Within(field=field, gte=gte, gt=gt, lte=lte, lt=lt)


class FilterJson(_Json):
    """`field` with one of `eq`, `in`, `range`, `exists`, `prefix`; or one of `and`, `or`, `not` without `field`."""

    field: Text | None = Field(
        None,
        description="`metadata.<key>`; `uri`, `title`, `language`, `content_type`, `version`, `updated_at` of the"
        " document; `page`, `section` (any heading above it) of the passage",
        examples=["metadata.department"],
    )
    eq: JsonValue | None = Field(None, description="It is equal to this")
    in_: Annotated[list[JsonValue], Field(min_length=1, max_length=MAX_VALUES)] | None = Field(
        None, alias="in", description="It is equal to one of these"
    )
    range: RangeJson | None = Field(None, description="It lies within these bounds")
    exists: bool | None = Field(None, description="It is there; with `false`, it is not")
    prefix: Text | None = Field(None, description="It is text that begins so")
    and_: Joined | None = Field(None, alias="and", description="All of these hold")
    or_: Joined | None = Field(None, alias="or", description="At least one of these holds")
    not_: "FilterJson | None" = Field(None, alias="not", description="This does not hold")

    @model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        given = {name for name in type(self).model_fields if getattr(self, name) is not None} - {"field"}
        if len(given) != 1 or (self.field is None) != (given <= {"and_", "or_", "not_"}):
            raise PydanticCustomError(
                "one_operator",
                "wants 'field' and one of eq, in, range, exists, prefix; or one of and, or, not without 'field'",
            )
        return self

    def parsed(self) -> Filter:
        """The filter that it says. Raises `InvalidFilter` for a range of text, naming the field."""
        if self.and_ is not None:
            return AllOf(parts=tuple(part.parsed() for part in self.and_))
        if self.or_ is not None:
            return AnyOf(parts=tuple(part.parsed() for part in self.or_))
        if self.not_ is not None:
            return Not(part=self.not_.parsed())
        assert self.field is not None
        return self._condition(self.field)

    def _condition(self, field: str) -> Filter:
        if self.range is not None:
            return self.range.parsed(field)
        if self.prefix is not None:
            return StartsWith(field=field, prefix=self.prefix)
        if self.exists is not None:
            return Exists(field=field) if self.exists else Not(part=Exists(field=field))
        values: list[Value] = [self.eq] if self.eq is not None else self.in_ or []
        return OneOf(field=field, values=tuple(values))


def _bound(field: str, raw: float | str | None) -> Bound | None:
    if not isinstance(raw, str):
        return raw
    read = read_date(raw)
    if read is None:
        raise InvalidFilter(f"{field}: 'range' takes numbers and ISO dates such as 2026-01-31, no other text")
    return read


def _not_too_deep(raw: object) -> object:
    level, depth = [raw], 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise PydanticCustomError("too_deep", "is nested more than {most} deep", {"most": MAX_DEPTH})
        level = [part for each in level if isinstance(each, dict) for part in _parts(each)]
    return raw


def _parts(raw: dict[str, object]) -> list[object]:
    joined = [raw.get(name) for name in ("and", "or", "not")]
    return [part for each in joined if each for part in (each if isinstance(each, list) else [each])]


FilterInput = Annotated[FilterJson, BeforeValidator(_not_too_deep)]
_INPUT: TypeAdapter[FilterJson] = TypeAdapter(FilterInput)


def parse_filter(text: str) -> Filter:
    """The filter that this JSON is. Raises `InvalidFilter`."""
    try:
        return _INPUT.validate_json(text).parsed()
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(("filter", *map(str, first["loc"])))
        raise InvalidFilter(f"{place}: {first['msg']}") from error
