"""Whose an answer is, and which slot its key has: hashes, so that neither keys nor principals are stored with it."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from retrieval.access import Caller


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Who may read an answer again: the same API key, asking as the same principals."""

    key_id: str
    caller: Caller

    @property
    def digest(self) -> bytes:
        return digest([self.caller.tenant, self.key_id, sorted(self.caller.principals)])


def slot_of(owner: Owner, key: str) -> bytes:
    """The one place that an owner's idempotency key stands for."""
    return digest([owner.digest.hex(), key])


def digest(value: Any) -> bytes:  # noqa: ANN401 - whatever JSON can say
    """The sha256 of a JSON value, the same whatever the order of its objects' names."""
    written = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(written.encode()).digest()
