"""The headers by which an answer is asked for again: `Idempotency-Key` and `Last-Event-ID`."""

import re
from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Header
from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

_QUOTED = re.compile(r'"((?:[\x20-\x21\x23-\x5b\x5d-\x7e]|\\["\\])+)"')
_BARE = re.compile(r"[\x21\x23-\x7e][\x20-\x7e]*")
_LONGEST_KEY = 255
_EVENT_ID = r"^[0-9a-f]{32}\.[0-9]{1,9}$"


@dataclass(frozen=True, slots=True)
class EventId:
    """Where in which answer a stream broke."""

    answer_id: UUID
    number: int


def _key(text: str) -> str:
    # A structured field's string (RFC 9651), as the draft has it; bare, as most clients send it.
    quoted = _QUOTED.fullmatch(text)
    if quoted is None and _BARE.fullmatch(text) is None:
        raise PydanticCustomError("not_a_key", "must be one string of printable ASCII characters")
    key = re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else text
    if len(key) > _LONGEST_KEY:
        raise PydanticCustomError("not_a_key", "may take 255 characters")
    return key


def _last_event(
    last_event_id: Annotated[
        str | None, Header(pattern=_EVENT_ID, description="The last event received: what came after it is sent")
    ] = None,
) -> EventId | None:
    if last_event_id is None:
        return None
    answer_id, _, number = last_event_id.partition(".")
    return EventId(UUID(answer_id), int(number))


_KeyText = Annotated[str, AfterValidator(_key)]
IdempotencyKey = Annotated[
    _KeyText | None,
    Header(
        alias="Idempotency-Key",
        description="Up to 255 characters. Asked again with the same key, the same question has the same answer,"
        " written and paid for once; it is kept for a while.",
    ),
]
JobKey = Annotated[
    _KeyText | None,
    Header(
        alias="Idempotency-Key",
        description="Up to 255 characters. Sent again with the same key, the same documents are the same job, for as"
        " long as that is kept; other documents are refused.",
    ),
]
LastEvent = Annotated[EventId | None, Depends(_last_event)]
