"""What a question's documents and chunks must be like: conditions on fields, joined by and, or and not.

A field is `metadata.<key>`, the document's own; or `uri`, `title`, `language`, `content_type`, `version`, `updated_at`
of the document; or `page`, `section` of the chunk: any page it reaches over, any heading it stands under.

A condition holds or it does not: where a field is missing, or holds another kind of value, it does not, and `Not` of
it does. Text is compared as written, letter case included. Metadata has no dates of its own: text that reads as an ISO
date or time is one, in UTC where it names no zone.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import TypeAlias

from retrieval.errors import InvalidFilter

MAX_DEPTH = 8
MAX_CONDITIONS = 50
MAX_VALUES = 200
"""In all conditions together: each document is compared with every one of them."""
MAX_KEY_CHARS = 200
"""Longer keys of metadata are kept, but nothing can be filtered by them."""
MAX_TEXT_CHARS = 1000
_GREATEST = 1e308

METADATA = "metadata."

Value: TypeAlias = str | bool | int | float
Bound: TypeAlias = int | float | date
"""A number, a day (which stands for the whole of it), or, as a datetime, a moment."""


class Kind(StrEnum):
    """What a field's values can be compared as. Text that reads as a date is both."""

    TEXT = "text"
    NUMBER = "number"
    BOOLEAN = "boolean"
    DATE = "date"


OF_DOCUMENT = {
    "uri": Kind.TEXT,
    "title": Kind.TEXT,
    "language": Kind.TEXT,
    "content_type": Kind.TEXT,
    "version": Kind.NUMBER,
    "updated_at": Kind.DATE,
}
OF_CHUNK = {"page": Kind.NUMBER, "section": Kind.TEXT}


@dataclass(frozen=True, slots=True, kw_only=True)
class OneOf:
    """The field is equal to one of the values."""

    field: str
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Within:
    """The field lies within the bounds, all of them numbers or all of them dates."""

    field: str
    gte: Bound | None = None
    gt: Bound | None = None
    lte: Bound | None = None
    lt: Bound | None = None

    @property
    def bounds(self) -> tuple[Bound, ...]:
        """Those that are there."""
        return tuple(bound for bound in (self.gte, self.gt, self.lte, self.lt) if bound is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exists:
    """The field is there."""

    field: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StartsWith:
    """The field is text that begins so."""

    field: str
    prefix: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AllOf:
    parts: tuple["Filter", ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AnyOf:
    parts: tuple["Filter", ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Not:
    part: "Filter"


Condition: TypeAlias = OneOf | Within | Exists | StartsWith
Filter: TypeAlias = Condition | AllOf | AnyOf | Not


def conditions(filter_: Filter, depth: int = 1) -> Iterator[Condition]:
    """Its conditions, left to right. Raises `InvalidFilter` where it is nested too deeply, or joins nothing."""
    if depth > MAX_DEPTH:
        raise InvalidFilter(f"the filter is nested more than {MAX_DEPTH} deep")
    match filter_:
        case AllOf(parts=parts) | AnyOf(parts=parts):
            if not parts:
                raise InvalidFilter("'and' and 'or' want at least one condition")
            for part in parts:
                yield from conditions(part, depth + 1)
        case Not(part=part):
            yield from conditions(part, depth + 1)
        case _:
            yield filter_


def check_filter(filter_: Filter) -> tuple[Condition, ...]:
    """Its conditions, each of which makes sense by itself. Raises `InvalidFilter`, naming the field."""
    found: list[Condition] = []
    values = 0
    for condition in conditions(filter_):
        check_field(condition.field)
        _check_operands(condition)
        found.append(condition)
        values += len(condition.values) if isinstance(condition, OneOf) else 1
        if len(found) > MAX_CONDITIONS or values > MAX_VALUES:
            raise InvalidFilter(f"a filter takes at most {MAX_CONDITIONS} conditions and {MAX_VALUES} values in all")
    return tuple(found)


def check_field(name: str) -> None:
    """Raises `InvalidFilter` for what is no field's name."""
    _check_text("a field's name", name)
    if name in OF_DOCUMENT or name in OF_CHUNK:
        return
    key = name.removeprefix(METADATA)
    if key == name or not 1 <= len(key) <= MAX_KEY_CHARS:
        known = ", ".join((*OF_DOCUMENT, *OF_CHUNK))
        raise InvalidFilter(f"{name}: unknown field; there are {known}, and metadata.<key>")


def _check_operands(condition: Condition) -> None:
    field = condition.field
    match condition:
        case OneOf(values=values):
            if not values:
                raise InvalidFilter(f"{field}: 'in' wants at least one value")
            for value in values:
                _check_value(field, value)
        case StartsWith(prefix=prefix):
            _check_value(field, prefix)
        case Within(bounds=bounds):
            _check_bounds(condition, bounds)
        case Exists():
            pass


def _check_bounds(within: Within, bounds: tuple[Bound, ...]) -> None:
    both_sides_once = None in (within.gte, within.gt) and None in (within.lte, within.lt)
    if not bounds or not both_sides_once:
        raise InvalidFilter(f"{within.field}: 'range' wants one lower bound, or one upper bound, or one of each")
    if len({isinstance(bound, date) for bound in bounds}) > 1:
        raise InvalidFilter(f"{within.field}: 'range' wants two numbers or two dates")
    for bound in bounds:
        if not isinstance(bound, date):
            _check_value(within.field, bound)


def _check_value(field: str, value: Value) -> None:
    if isinstance(value, str):
        _check_text(field, value)
    elif not -_GREATEST <= value <= _GREATEST:
        raise InvalidFilter(f"{field}: the number is too large")


def _check_text(what: str, text: str) -> None:
    if len(text) > MAX_TEXT_CHARS:
        raise InvalidFilter(f"{what}: longer than {MAX_TEXT_CHARS} characters")
    if "\x00" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise InvalidFilter(f"{what}: holds characters that are not text")


_MOMENT = re.compile(
    r"\d{4}-\d\d-\d\d([T ]([01]\d|2[0-3]):\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:?[0-5]\d)?)?",
    re.ASCII | re.IGNORECASE,
)


def read_date(text: str) -> date | None:
    """The day, or as a datetime with its zone the moment, that the text names; None when it names none.

    The same grammar as `pincite_moment()` in the database, which reads the documents' side.
    """
    if _MOMENT.fullmatch(text) is None:
        return None
    try:
        if len(text) == len("2026-01-31"):
            return date.fromisoformat(text)
        moment = datetime.fromisoformat(text.upper())
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
