"""Filters as their words say, in plain Python: what the SQL is held against."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from retrieval.filters import AllOf, AnyOf, Bound, Condition, Exists, Filter, Not, OneOf, StartsWith, Within


@dataclass(frozen=True, kw_only=True)
class Place:
    """A chunk as filters see it; `dates` are the moments that its document's fields name."""

    fields: Mapping[str, object]
    dates: Mapping[str, datetime]
    pages: range
    headings: Sequence[str]

    def values(self, field: str) -> list[object]:
        if field == "page":
            return list(self.pages)
        if field == "section":
            return list(self.headings)
        return [self.fields[field]] if field in self.fields else []


def matches(wanted: Filter, place: Place) -> bool:
    """Whether the filter holds at this place."""
    match wanted:
        case AllOf(parts=parts):
            return all(matches(part, place) for part in parts)
        case AnyOf(parts=parts):
            return any(matches(part, place) for part in parts)
        case Not(part=part):
            return not matches(part, place)
        case _:
            return holds(wanted, place)


def holds(wanted: Condition, place: Place) -> bool:
    """Whether the condition does."""
    match wanted:
        case OneOf(field=field, values=values):
            return any(same(value, wished) for value in place.values(field) for wished in values)
        case StartsWith(field=field, prefix=prefix):
            return any(isinstance(value, str) and value.startswith(prefix) for value in place.values(field))
        case Exists(field=field):
            return bool(place.values(field)) or field in place.dates
        case Within(field=field, bounds=bounds) if isinstance(bounds[0], date):
            return field in place.dates and within(wanted, span(place.dates[field])[0])
        case Within(field=field):
            return any(is_number(value) and within(wanted, exact(value)) for value in place.values(field))


def same(value: object, wished: object) -> bool:
    if is_number(value) and is_number(wished):
        return exact(value) == exact(wished)
    return type(value) is type(wished) and value == wished


def is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def exact(number: object) -> Decimal:
    """The number as it is written."""
    return Decimal(repr(number))


def within(wanted: Within, value: Decimal) -> bool:
    return (
        (wanted.gte is None or value >= span(wanted.gte)[0])
        and (wanted.gt is None or value > span(wanted.gt)[1])
        and (wanted.lte is None or value <= span(wanted.lte)[1])
        and (wanted.lt is None or value < span(wanted.lt)[0])
    )


def span(bound: Bound) -> tuple[Decimal, Decimal]:
    """The first and the last that the bound stands for: a day is all its microseconds."""
    if not isinstance(bound, date):
        return exact(bound), exact(bound)
    start = bound if isinstance(bound, datetime) else datetime(bound.year, bound.month, bound.day, tzinfo=UTC)
    first = (start - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    return Decimal(first), Decimal(first if start is bound else first + 86_400_000_000 - 1)
