"""Metadata that nobody would write, and filters of every shape on it."""

import random
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

from hypothesis import strategies

from retrieval.filters import AllOf, AnyOf, Exists, Filter, Not, OneOf, StartsWith, Value, Within

KEYS = (
    "plain", "dotted.key", 'quo"te', "it's", "back\\slash", "$", "@", "*", "[*]", "{}", "%(tenant_id)s", "%s", "überß",
    "🙂", " ", "new\nline", "'); DROP TABLE documents; --", '"] ? (true)', "null", "dates", "k" * 200,
)  # fmt: skip
MOMENTS: dict[str, datetime | None] = {
    "2026-01-31": datetime(2026, 1, 31, tzinfo=UTC),
    "2026-01-31T00:00:00Z": datetime(2026, 1, 31, tzinfo=UTC),
    "2026-01-31 23:59": datetime(2026, 1, 31, 23, 59, tzinfo=UTC),
    "2026-02-01T01:30:00+02:00": datetime(2026, 1, 31, 23, 30, tzinfo=UTC),
    "2026-01-31t12:00:00.25-0330": datetime(2026, 1, 31, 15, 30, 0, 250_000, tzinfo=UTC),
    "1969-12-31T23:59:59.999999999Z": datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    "2024-02-29": datetime(2024, 2, 29, tzinfo=UTC),
    "2026-02-29": None,
    "2026-13-01": None,
    "0000-01-01": None,
    "2026-01-31T24:00": None,
    "2026-01-31T10:00+24:00": None,
    "20260131": None,
    " 2026-01-31": None,
    "2026-01-31\n": None,
    "٢٠٢٦-01-31": None,
    "now": None,
}
VALUES: tuple[Value, ...] = (
    *MOMENTS, "finance", "Finance", "fin", "", "100%", "a_b", 'say "hi"', "$v0", "@ == @", "NULL", "true", "7",
    "e\u0301", "\u00e9", "x" * 10_000, True, False, 0, 1, 7, -7, 7.0, 7.5, 0.1, 1e23, 10**23, 2**53 + 1, -0.0,
)  # fmt: skip


def metadata(at: int) -> dict[str, Value]:
    """Document number `at`'s: any value under any key."""
    draw = random.Random(at)  # noqa: S311 - repeatable, not secret
    return {key: draw.choice(VALUES) for key in draw.sample(KEYS, k=draw.randint(0, 12))}


fields = strategies.sampled_from(
    [*(f"metadata.{key}" for key in KEYS), "metadata.unknown", "uri", "title", "language", "content_type", "section"]
)
values = strategies.sampled_from([*VALUES, "docs/1", "docs/manual.pdf", "en", "text/plain", "Rules", "Pumps"])
texts = values.filter(lambda value: isinstance(value, str)).map(str)
numbers = values.filter(lambda value: isinstance(value, int | float) and not isinstance(value, bool))
zones = strategies.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30)), timezone(timedelta(hours=-8))])
dates = (
    strategies.dates()
    | strategies.sampled_from([date(2026, 1, 31), date(9999, 12, 31)])
    | strategies.datetimes(timezones=zones)
)


def bounds(
    field: strategies.SearchStrategy[str], bound: strategies.SearchStrategy[Any]
) -> strategies.SearchStrategy[Filter]:
    lower = strategies.sampled_from(["gte", "gt"])
    upper = strategies.sampled_from(["lte", "lt"])
    one = strategies.tuples(field, lower | upper, bound).map(
        lambda drawn: Within(field=drawn[0], **{drawn[1]: drawn[2]})
    )
    both = strategies.tuples(field, lower, bound, upper, bound).map(
        lambda drawn: Within(field=drawn[0], **{drawn[1]: drawn[2], drawn[3]: drawn[4]})
    )
    return one | both


pages = strategies.integers(0, 6)
conditions = (
    strategies.builds(OneOf, field=fields, values=strategies.lists(values, min_size=1, max_size=4).map(tuple))
    | strategies.builds(OneOf, field=strategies.just("page"), values=strategies.lists(pages, min_size=1).map(tuple))
    | strategies.builds(Exists, field=fields | strategies.sampled_from(["page", "version", "updated_at"]))
    | strategies.builds(StartsWith, field=fields, prefix=texts.map(lambda text: text[:3]))
    | bounds(fields | strategies.just("version"), numbers)
    | bounds(fields | strategies.just("updated_at"), dates)
    | bounds(strategies.just("page"), pages)
)
filters = strategies.recursive(
    conditions,
    lambda inner: (
        strategies.builds(Not, part=inner)
        | strategies.builds(AllOf, parts=strategies.lists(inner, min_size=1, max_size=3).map(tuple))
        | strategies.builds(AnyOf, parts=strategies.lists(inner, min_size=1, max_size=3).map(tuple))
    ),
    max_leaves=6,
)
