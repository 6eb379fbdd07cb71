"""Statements live in `.sql` files, one each; a statement's type says whether it needs a caller."""

from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import LiteralString, cast

from psycopg import sql


@dataclass(frozen=True, slots=True)
class TenantStatement:
    """Reads or writes tenant data: runs only inside a session that belongs to a caller or tenant."""

    query: sql.SQL | sql.Composed
    name: str = "unnamed"

    def sized(self, dimensions: int) -> "TenantStatement":
        """The statement for vectors of this length: a type's length cannot be a parameter."""
        return self.composed(dimensions=sql.Literal(dimensions))

    def composed(self, **parts: sql.Composable) -> "TenantStatement":
        """The statement with names and literals where a parameter cannot stand, each properly quoted."""
        assert isinstance(self.query, sql.SQL)
        return TenantStatement(self.query.format(**parts), self.name)


@dataclass(frozen=True, slots=True)
class ReferenceStatement:
    """Reads or writes a table that belongs to no tenant: keys, tenants, the index profile."""

    query: sql.SQL
    name: str


@cache
def tenant_statement(package: str, name: str) -> TenantStatement:
    """The tenant statement in `package/sql/name.sql`."""
    return TenantStatement(_read(package, name), name)


@cache
def reference_statement(package: str, name: str) -> ReferenceStatement:
    """The reference statement in `package/sql/name.sql`."""
    return ReferenceStatement(_read(package, name), name)


def _read(package: str, name: str) -> sql.SQL:
    text = resources.files(package).joinpath("sql", f"{name}.sql").read_text(encoding="utf-8")
    # Ours, from our own package: as literal as if it stood here.
    return sql.SQL(cast("LiteralString", text))  # type: ignore[redundant-cast]
