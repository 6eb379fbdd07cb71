"""A filter as JSON: what it says is what is built, and what it cannot say is refused where it stands."""

import json
from contextlib import suppress
from datetime import UTC, date, datetime

import pytest
from hypothesis import given, strategies

from retrieval.errors import InvalidFilter
from retrieval.filter_json import parse_filter
from retrieval.filters import MAX_DEPTH, AllOf, AnyOf, Exists, Filter, Not, OneOf, StartsWith, Within


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ({"field": "uri", "eq": "a"}, OneOf(field="uri", values=("a",))),
        ({"field": "metadata.final", "eq": False}, OneOf(field="metadata.final", values=(False,))),
        ({"field": "metadata.pages", "eq": 0}, OneOf(field="metadata.pages", values=(0,))),
        ({"field": "metadata.x", "in": ["a", 1, 1.5, True]}, OneOf(field="metadata.x", values=("a", 1, 1.5, True))),
        ({"field": "version", "range": {"gt": 1, "lte": 2.5}}, Within(field="version", gt=1, lte=2.5)),
        (
            {"field": "updated_at", "range": {"gte": "2026-01-31", "lt": "2026-01-31T10:00:00Z"}},
            Within(field="updated_at", gte=date(2026, 1, 31), lt=datetime(2026, 1, 31, 10, tzinfo=UTC)),
        ),
        ({"field": "section", "prefix": ""}, StartsWith(field="section", prefix="")),
        ({"field": "page", "exists": True}, Exists(field="page")),
        ({"field": "page", "exists": False}, Not(part=Exists(field="page"))),
        (
            {"and": [{"or": [{"field": "uri", "eq": "a"}]}, {"not": {"field": "uri", "exists": True}}]},
            AllOf(parts=(AnyOf(parts=(OneOf(field="uri", values=("a",)),)), Not(part=Exists(field="uri")))),
        ),
    ],
)
def test_a_filter_is_read_as_it_is_said(said: dict[str, object], meant: Filter) -> None:
    """Each operator, each kind of value; 1 and true stay apart."""
    assert repr(parse_filter(json.dumps(said))) == repr(meant)


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        ('{"field": "uri"}', "filter: "),
        ('{"field": "uri", "eq": "a", "prefix": "a"}', "filter: "),
        ('{"eq": "a"}', "filter: "),
        ('{"field": "uri", "and": [{"field": "uri", "eq": "a"}]}', "filter: "),
        ('{"field": "uri", "eq": null}', "filter: "),
        ("{}", "filter: "),
        ("[]", "filter: "),
        ("not JSON", "filter: Invalid JSON"),
        ('{"field": "uri", "like": "%"}', "filter.like: Extra inputs"),
        ('{"field": "uri", "eq": ["a"]}', "filter.eq: wants short text"),
        ('{"field": "uri", "eq": {"$ne": 1}}', "filter.eq: wants short text"),
        ('{"field": "version", "eq": NaN}', "filter.eq: wants short text"),
        ('{"field": "uri", "in": []}', "filter.in: "),
        ('{"field": "uri", "in": "a"}', "filter.in: "),
        (
            '{"and": [{"field": "uri", "eq": "a"}, {"field": "uri", "in": [null]}]}',
            "filter.and.1.in.0: wants",
        ),
        ('{"field": "uri", "exists": "yes"}', "filter.exists: "),
        ('{"field": "uri", "prefix": 7}', "filter.prefix: "),
        ('{"field": "version", "range": {"from": 1}}', "filter.range.from: Extra inputs"),
        ('{"field": "version", "range": {"gte": true}}', "filter.range.gte: wants a number or a date"),
        ('{"field": "metadata.due", "range": {"gte": "soon"}}', "metadata.due: 'range' takes numbers and ISO dates"),
        (
            '{"field": "metadata.due", "range": {"gte": "2026-02-30"}}',
            "metadata.due: 'range' takes numbers and ISO dates",
        ),
        ('{"or": []}', "filter.or: "),
    ],
)
def test_what_a_filter_cannot_say_is_refused_where_it_stands(said: str, complaint: str) -> None:
    """The complaint names the place, or the field."""
    with pytest.raises(InvalidFilter) as caught:
        parse_filter(said)
    assert complaint in str(caught.value)


@pytest.mark.parametrize("depth", [MAX_DEPTH, 300, 100_000])
@pytest.mark.parametrize("shape", ['{"not": %s}', '{"and": [%s]}'])
def test_depth_is_bounded_before_it_is_followed(shape: str, depth: int) -> None:
    """However deep the nesting, it is one short complaint."""
    opened, closed = shape.split("%s")
    with pytest.raises(InvalidFilter):
        parse_filter(opened * depth + '{"field": "uri", "eq": "a"}' + closed * depth)


WORDS = ("field", "eq", "in", "range", "exists", "prefix", "and", "or", "not", "gte", "lt")
jsons = strategies.recursive(
    strategies.none() | strategies.booleans() | strategies.integers() | strategies.floats() | strategies.text(),
    lambda inner: (
        strategies.lists(inner, max_size=3)
        | strategies.dictionaries(
            strategies.sampled_from(
                ["field", "eq", "in", "range", "exists", "prefix", "and", "or", "not", "gte", "lt"]
            ),
            inner,
            max_size=3,
        )
    ),
)


@given(said=jsons)
def test_any_json_is_a_filter_or_a_complaint(said: object) -> None:
    """Nothing that can be sent ends in another error."""
    with suppress(InvalidFilter):
        parse_filter(json.dumps(said))
