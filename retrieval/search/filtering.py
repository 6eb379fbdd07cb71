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
    conditions,
)
from retrieval.search.narrowing import ANYTHING, Narrowing, compiled

KNOWN_FIELDS = tenant_statement("retrieval.search", "known_fields")


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownField:
    """A field that documents of the tenant have, and a kind of value it holds."""

    field: str
    kind: str


async def narrow(store: Store, caller: Caller, wanted: Filter | None) -> Narrowing:
    """The filter, checked against the fields that the tenant's documents have.

    Raises `InvalidFilter`, naming a field that no document has, or that never holds what it is compared with;
    `StoreUnavailable`.
    """
    if wanted is None:
        return ANYTHING
    rows: list[KnownField] = []
    if own := own_fields(wanted):
        async with store.session(caller) as session:
            rows = await session.rows(KnownField, KNOWN_FIELDS, fields=own)
    return held_against(wanted, rows)


def own_fields(wanted: Filter) -> list[str]:
    """The names of metadata in it. Raises `InvalidFilter` for what makes no sense by itself."""
    return sorted({condition.field for condition in check_filter(wanted) if condition.field.startswith(METADATA)})


def held_against(wanted: Filter, rows: Sequence[KnownField]) -> Narrowing:
    """The filter, where its own fields are these. Raises `InvalidFilter` as `narrow()` does."""
    known = {name: {kind} for name, kind in (OF_DOCUMENT | OF_CHUNK).items()}
    for row in rows:
        known.setdefault(row.field, set()).add(Kind(row.kind))
    for condition in conditions(wanted):
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
