"""How the server ran a statement: what EXPLAIN ANALYZE tells, as far as an explanation needs it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from psycopg import sql

from retrieval.database.statements import TenantStatement

_EXPLAIN = sql.SQL("EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) ")


@dataclass(frozen=True, slots=True)
class QueryPlan:
    """A statement's plan with what each of its nodes did. `root` is the outermost node, in EXPLAIN's own words."""

    root: Mapping[str, Any]

    def rows_read(self, table: str) -> int:
        """Rows that came out of the table's scans, before any join could refuse them."""
        nodes = (node for node in _nodes(self.root) if node.get("Relation Name") == table)
        rows: float = sum(node["Actual Rows"] * node["Actual Loops"] for node in nodes)  # they are told per loop
        return round(rows)

    @property
    def pages_read(self) -> int:
        """Pages of 8 kB that were touched, in memory or not: what the work cost, steps of an index walk included."""
        return int(self.root["Shared Hit Blocks"]) + int(self.root["Shared Read Blocks"])


def explained(statement: TenantStatement) -> sql.Composed:
    """The statement as one that runs and tells its plan, in place of its rows."""
    return _EXPLAIN + statement.query


def _nodes(node: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield node
    for child in node.get("Plans", ()):
        yield from _nodes(child)
