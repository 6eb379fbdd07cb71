"""A filter is held against what the tenant's documents have before anything is searched."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from retrieval.access import Caller
from retrieval.database.statements import tenant_statement
from retrieval.database.store import Store
from retrieval.errors import InvalidFilter
from retrieval.filters import (
    METADATA,
    OF_CHUNK,
    OF_DOCUMENT,
    Bound,
    Condition,
    Exists,
    Filter,
    Kind,
    OneOf,
    StartsWith,
    Value,
    Within,
    check_filter,
)
from retrieval.search.narrowing import ANYTHING, Narrowing, compiled

_KNOWN = tenant_statement("retrieval.search", "known_fields")


@dataclass(frozen=True, slots=True, kw_only=True)
class _KnownField:
    field: str
    kind: str


async def narrow(store: Store, caller: Caller, wanted: Filter | None) -> Narrowing:
    """The filter, checked against the fields that the tenant's documents have.

    Raises `InvalidFilter`, naming a field that no document has, or that never holds what it is compared with;
    `StoreUnavailable`.
    """
    if wanted is None:
        return ANYTHING
    found = check_filter(wanted)
    known = {name: {kind} for name, kind in (OF_DOCUMENT | OF_CHUNK).items()}
    own = sorted({condition.field for condition in found if condition.field.startswith(METADATA)})
    if own:
        async with store.session(caller) as session:
            for row in await session.rows(_KnownField, _KNOWN, fields=own):
                known.setdefault(row.field, set()).add(Kind(row.kind))
    for condition in found:
        _check_kinds(condition, known.get(condition.field, set()))
    return compiled(wanted)


def _check_kinds(condition: Condition, known: set[Kind]) -> None:
    name = condition.field
    if not known:
        raise InvalidFilter(f"{name}: unknown field, no document has it")
    missing = _kinds(condition) - known
    if missing:
        raise InvalidFilter(f"{name}: holds {_listed(known)}, compared with {_listed(missing)}")
    if name == "page" and not _whole(condition):
        raise InvalidFilter("page: wants whole numbers")


def _listed(kinds: set[Kind]) -> str:
    return " and ".join(sorted(kinds))


def _whole(condition: Condition) -> bool:
    operands: Sequence[Value | Bound] = ()
    if isinstance(condition, OneOf):
        operands = condition.values
    elif isinstance(condition, Within):
        operands = condition.bounds
    return all(isinstance(operand, int | float) and operand == math.floor(operand) for operand in operands)


def _kinds(condition: Condition) -> set[Kind]:
    """What the field must hold for the condition to make sense."""
    match condition:
        case OneOf(values=values):
            return {_kind(value) for value in values}
        case StartsWith():
            return {Kind.TEXT}
        case Within(bounds=bounds):
            return {Kind.DATE if isinstance(bound, date) else Kind.NUMBER for bound in bounds}
        case Exists():
            return set()


def _kind(value: Value) -> Kind:
    if isinstance(value, bool):
        return Kind.BOOLEAN
    return Kind.TEXT if isinstance(value, str) else Kind.NUMBER
