"""Where the next page of a list begins: opaque to clients, checked like any other input."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from typing import Annotated, TypeVar

from fastapi import Query
from fastapi.exceptions import RequestValidationError

T = TypeVar("T")
Row = TypeVar("Row")

Limit = Annotated[int, Query(ge=1, le=200, description="Most entries of a page")]
Cursor = Annotated[
    str | None, Query(max_length=4000, description="`next` of the page before, with the same other parameters")
]


def read_cursor(cursor: str | None, read: Callable[..., T], start: T) -> T:
    """What `read` makes of the cursor's parts; without a cursor, `start`. Refused like any invalid parameter."""
    if cursor is None:
        return start
    try:
        parts = json.loads(urlsafe_b64decode(cursor.encode("ascii")))
        return read(*parts)
    except (ValueError, TypeError, ArithmeticError, RecursionError):
        problem = {"type": "cursor", "loc": ("query", "cursor"), "msg": "is not one that a page before gave"}
        raise RequestValidationError([problem]) from None


def cut(
    rows: Sequence[Row], limit: int, place: Callable[[Row], tuple[object, ...]]
) -> tuple[Sequence[Row], str | None]:
    """A page of the rows, of which one more than `limit` was asked for, and the cursor behind it if there are more."""
    if len(rows) <= limit:
        return rows, None
    return rows[:limit], urlsafe_b64encode(json.dumps(place(rows[limit - 1])).encode()).decode()


def position(number: object) -> int:
    """A place in a numbered list. Raises ValueError."""
    if not isinstance(number, int) or not 0 <= number < 2**31:
        raise ValueError(number)
    return number


def place_by_uri(uri: object) -> str:
    """A place in a list by uri. Raises ValueError."""
    if not isinstance(uri, str) or len(uri) > 600 or "\0" in uri:
        raise ValueError(uri)
    uri.encode()
    return uri
