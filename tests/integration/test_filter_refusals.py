"""A filter that makes no sense is refused before anything is searched; a date is one, or it is text."""

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings, strategies

from retrieval.access import caller
from retrieval.database.store import Store, open_store
from retrieval.errors import InvalidFilter
from retrieval.filters import (
    MAX_CONDITIONS,
    MAX_DEPTH,
    MAX_VALUES,
    AllOf,
    AnyOf,
    Exists,
    Filter,
    Not,
    OneOf,
    StartsWith,
    Within,
    read_date,
)
from retrieval.search.filtering import narrow
from tests.conftest import new_database, on_database
from tests.made_up_filters import MOMENTS

Connection = psycopg.Connection[tuple[Any, ...]]

ADA = caller("north", ["group:a"])


@pytest.fixture(scope="module")
def database(server: str) -> Iterator[str]:
    """A database without a document."""
    yield from new_database(server)


@pytest.fixture(scope="module")
async def store(database: str) -> AsyncIterator[Store]:
    async with open_store(database, on_database(database).database) as opened:
        yield opened


@pytest.mark.parametrize(
    ("wanted", "complaint"),
    [
        (OneOf(field="metadata.colour", values=("red",)), "metadata.colour: unknown field"),
        (Exists(field="metadata.colour"), "metadata.colour: unknown field"),
        (OneOf(field="metadata.", values=("red",)), "metadata.: unknown field"),
        (Exists(field="metadata." + "k" * 201), "k: unknown field"),
        (OneOf(field="acl", values=("group:b",)), "acl: unknown field"),
        (OneOf(field="content", values=("x",)), "content: unknown field"),
        (OneOf(field="dates", values=("x",)), "dates: unknown field"),
        (Not(part=AllOf(parts=(Exists(field="uri"), Exists(field="metadata.x")))), "metadata.x: unknown field"),
        (OneOf(field="uri", values=(7,)), "uri: holds text, compared with number"),
        (OneOf(field="version", values=(1, True)), "version: holds number, compared with boolean"),
        (StartsWith(field="version", prefix="1"), "version: holds number, compared with text"),
        (Within(field="title", gte=1), "title: holds text, compared with number"),
        (Within(field="version", gte=date(2026, 1, 1)), "version: holds number, compared with date"),
        (OneOf(field="updated_at", values=("2026-01-31",)), "updated_at: holds date, compared with text"),
        (OneOf(field="page", values=(1.5,)), "page: wants whole numbers"),
        (Within(field="section", lt=3), "section: holds text, compared with number"),
        (Within(field="version"), "version: 'range' wants"),
        (Within(field="version", gte=1, gt=1), "version: 'range' wants"),
        (Within(field="version", gte=1, lt=date(2026, 1, 1)), "version: 'range' wants two numbers or two dates"),
        (OneOf(field="version", values=()), "version: 'in' wants at least one value"),
        (OneOf(field="version", values=(float("inf"),)), "version: the number is too large"),
        (OneOf(field="version", values=(float("nan"),)), "version: the number is too large"),
        (OneOf(field="version", values=(10**4000,)), "version: the number is too large"),
        (OneOf(field="uri", values=("a\0b",)), "uri: holds characters that are not text"),
        (OneOf(field="uri", values=("\ud800",)), "uri: holds characters that are not text"),
        (StartsWith(field="uri", prefix="x" * 10_000), "uri: longer than 1000 characters"),
        (Exists(field="metadata.\0"), "a field's name: holds characters that are not text"),
        (OneOf(field="version", values=(1,) * (MAX_VALUES + 1)), f"{MAX_VALUES} values in all"),
        (AnyOf(parts=(Exists(field="uri"),) * (MAX_CONDITIONS + 1)), f"at most {MAX_CONDITIONS} conditions"),
        (AllOf(parts=()), "at least one condition"),
    ],
)
async def test_what_makes_no_sense_is_refused(store: Store, wanted: Filter, complaint: str) -> None:
    """Unknown fields, comparisons of unlike kinds, and filters without bounds are refused, the field named."""
    with pytest.raises(InvalidFilter) as caught:
        await narrow(store, ADA, wanted)
    assert complaint in str(caught.value)


async def test_nesting_is_bounded(store: Store) -> None:
    """A filter may be nested so deep and no deeper, however deep it goes."""
    wanted: Filter = Exists(field="uri")
    for _ in range(MAX_DEPTH - 1):
        wanted = Not(part=wanted)
    await narrow(store, ADA, wanted)
    for _ in range(100_000):
        wanted = Not(part=wanted)
    with pytest.raises(InvalidFilter, match=f"more than {MAX_DEPTH} deep"):
        await narrow(store, ADA, wanted)


@pytest.fixture(scope="module")
def connection(database: str) -> Iterator[Connection]:
    with psycopg.connect(database) as opened:
        yield opened


def read(text: str) -> datetime | None:
    """What a question's side reads, a day as its first moment."""
    found = read_date(text)
    if found is None or isinstance(found, datetime):
        return found
    return datetime(found.year, found.month, found.day, tzinfo=UTC)


def stored(connection: Connection, text: str) -> datetime | None:
    """What the documents' side reads."""
    row = connection.execute("SELECT pincite_moment(%s)", [text]).fetchone()
    assert row is not None
    return None if row[0] is None else datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=row[0])


@pytest.mark.parametrize("text", MOMENTS)
def test_dates_are_read_with_care(connection: Connection, text: str) -> None:
    """Dates that the calendar does not have, and text that only resembles one, are text; zones and fractions count."""
    assert read(text) == stored(connection, text) == MOMENTS[text]


shaped = strategies.from_regex(
    r"\A\d{4}-[01]\d-[0-3]\d([Tt ][0-2]\d:[0-6]\d(:[0-6]\d(\.\d{1,10})?)?([Zz]|[+-][0-2]\d:?[0-6]\d)?)?\Z",
    alphabet=strategies.characters(codec="ascii"),
)
anything = strategies.text(alphabet=strategies.characters(exclude_categories=["Cs"], exclude_characters="\0"))


@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=shaped | anything)
def test_no_text_is_a_date_on_one_side_only(connection: Connection, text: str) -> None:
    """Whatever looks like a date or does not: Python and the database agree, to the microsecond."""
    assert read(text) == stored(connection, text)
