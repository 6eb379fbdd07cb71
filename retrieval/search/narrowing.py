"""From a filter to what the statements take: two jsonpaths and their values.

No SQL is composed: each statement holds the documents' fields against `document_filter` and the chunks' against
`chunk_filter`, where those are not NULL. A plan is made for the parameters at hand (`force_custom_plan`), so without a
filter Postgres drops the comparison and the table it reads. A jsonpath holds names of fields, quoted; the values that
they are compared with are variables of it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

from psycopg.types.json import Jsonb

from retrieval.filters import (
    OF_CHUNK,
    AllOf,
    AnyOf,
    Condition,
    Exists,
    Filter,
    Not,
    OneOf,
    StartsWith,
    Within,
    conditions,
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY = timedelta(days=1) // timedelta(microseconds=1)
_NEVER = "(1 == 2)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Narrowing:
    """A filter as every statement that reads documents or chunks takes it."""

    document_filter: str | None = None
    chunk_filter: str | None = None
    place_alone: bool = False
    """Whether the chunks' filter is about where they stand and nothing else: then their documents are not read."""
    values: Mapping[str, object] = field(default_factory=dict)

    @property
    def parameters(self) -> dict[str, object]:
        """What to bind to the statements' parameters."""
        return {
            "document_filter": self.document_filter,
            "chunk_filter": self.chunk_filter,
            "place_alone": self.place_alone,
            "filter_values": Jsonb(self.values),
        }

    @property
    def narrows(self) -> bool:
        return self.document_filter is not None or self.chunk_filter is not None


ANYTHING = Narrowing()


def compiled(wanted: Filter) -> Narrowing:
    """The filter as jsonpaths. What is about documents alone is decided on documents, the rest chunk by chunk."""
    path = _Path()
    of_documents: list[str] = []
    of_chunks: list[str] = []
    named: set[str] = set()
    for part in wanted.parts if isinstance(wanted, AllOf) else (wanted,):
        fields = {condition.field for condition in conditions(part)}
        if fields.isdisjoint(OF_CHUNK):
            of_documents.append(path.predicate(part))
        else:
            of_chunks.append(path.predicate(part))
            named |= fields
    return Narrowing(
        document_filter=" && ".join(of_documents) or None,
        chunk_filter=" && ".join(of_chunks) or None,
        place_alone=named <= OF_CHUNK.keys(),
        values=path.values,
    )


class _Path:
    """Predicates of jsonpath, each in brackets and never unknown, and the values that they name."""

    def __init__(self) -> None:
        self.values: dict[str, object] = {}

    def predicate(self, part: Filter) -> str:
        match part:
            case AllOf(parts=parts):
                return f"({' && '.join(map(self.predicate, parts))})"
            case AnyOf(parts=parts):
                return f"({' || '.join(map(self.predicate, parts))})"
            case Not(part=negated):
                return f"(!{self.predicate(negated)})"
            case OneOf(field="page") | Within(field="page") | Exists(field="page"):
                return self._of_pages(part)
            case _:
                return self._of_field(part)

    def _of_field(self, condition: Condition) -> str:
        # `exists(… ? (…))`: a comparison of unlike kinds is unknown, and so would be its negation.
        place = f"$.{json.dumps(condition.field)}"
        match condition:
            case OneOf(values=values):
                return f"(exists({place}[*] ? (@ == {self._value(list(values))}[*])))"
            case StartsWith(prefix=prefix):
                return f"(exists({place}[*] ? (@ starts with {self._value(prefix)})))"
            case Within(bounds=bounds):
                dated = isinstance(bounds[0], date)
                within = " && ".join(f"@ {sign} {self._value(bound)}" for sign, bound in _signed(condition))
                return f"(exists({'$.dates' + place[1:] if dated else place}[*] ? ({within})))"
            case Exists():
                place = "$.dates" + place[1:] if condition.field == "updated_at" else place
                return f"(exists({place}[*]))"

    def _of_pages(self, condition: OneOf | Within | Exists) -> str:
        match condition:
            case OneOf(values=values):
                pages = "@ >= $.first_page && @ <= $.last_page"
                return f"(exists({self._value(list(values))}[*] ? ({pages})))"
            case Within():
                low, high = _pages(condition)
                if low > high:
                    return _NEVER
                return f"($.last_page >= {self._value(low)} && $.first_page <= {self._value(high)})"
            case Exists():
                return "($.first_page > 0)"

    def _value(self, value: object) -> str:
        name = f"v{len(self.values)}"
        self.values[name] = value
        return f"${name}"


def _signed(within: Within) -> list[tuple[str, int | float]]:
    """Its bounds as signs and numbers: dates as microseconds since 1970, a day as the whole of it."""
    signed: list[tuple[str, int | float]] = []
    for sign, bound in ((">=", within.gte), (">", within.gt), ("<=", within.lte), ("<", within.lt)):
        if bound is None:
            continue
        if not isinstance(bound, date):
            signed.append((sign, bound))
        elif isinstance(bound, datetime):
            signed.append((sign, _microseconds(bound)))
        else:
            first = _microseconds(datetime(bound.year, bound.month, bound.day, tzinfo=UTC))
            signed.append({">": (">=", first + _DAY), "<=": ("<", first + _DAY)}.get(sign, (sign, first)))
    return signed


def _microseconds(moment: datetime) -> int:
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (aware - _EPOCH) // timedelta(microseconds=1)


def _pages(within: Within) -> tuple[int, int]:
    """The first and the last page that lie within the bounds."""
    low, high = 1, 2**31
    for sign, bound in _signed(within):
        page = int(bound)
        match sign:
            case ">=":
                low = page
            case ">":
                low = page + 1
            case "<=":
                high = page
            case _:
                high = page - 1
    return low, high
