"""Generations of the index: each is what one model made of all documents, in tables of its own.

One of them is live: questions read it and writers write it. Another may be built beside it. The first one's tables are
in `public`, those of the n-th in the schema `pincite_g<n>`; documents, permissions and fields belong to all of them.
Statements name no schema: a transaction picks its generation by its search path.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

from psycopg import sql

from retrieval.database.statements import reference_statement

State = Literal["building", "ready", "live", "retired", "dropped"]

FIRST = 1
NONE = 0
"""Stands for no generation: for what is read and written whichever one is live, and when there is none yet."""
GENERATIONS = reference_statement("retrieval", "generations")
TABLES = (
    "cut_documents",
    "chunks",
    "embeddings",
    "chunk_terms",
    "term_statistics",
    "language_statistics",
    "principal_statistics",
)
"""What belongs to a generation, each after those it refers to: migrations change them in every generation's schema."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """The model that made a generation's vectors. `opening`: the embedder's settings it was opened with, where they are
    recorded; empty: as it is configured."""

    embedder: str
    dimensions: int
    generation_id: int = FIRST
    opening: Mapping[str, Any] = field(default_factory=dict)
    state: State = "live"

    @property
    def schema(self) -> str:
        return schema_of(self.generation_id)


def live_one(generations: Iterable[Generation]) -> Generation | None:
    """The one that answers; None while nothing was ingested yet."""
    return next((each for each in generations if each.state == "live"), None)


def schema_of(generation_id: int) -> str:
    """The schema that a generation's tables are in."""
    return "public" if generation_id == FIRST else f"pincite_g{generation_id}"


@cache
def search_path(generation_id: int) -> sql.Composed:
    """`SET LOCAL`: from here on the transaction reads and writes this generation."""
    return sql.SQL("SET LOCAL search_path = {}").format(path_of(generation_id))


@cache
def entered(generation_id: int) -> tuple[bytes, ...]:
    """What a transaction on this generation starts with. It fails where the generation was dropped: its tables must not
    be taken for those of the first one, which any search path ends in. Nothing, for `NONE`."""
    if generation_id == NONE:
        return ()
    there = sql.SQL("SELECT {}::regclass").format(sql.Literal(f"{schema_of(generation_id)}.cut_documents"))
    return search_path(generation_id).as_bytes(), there.as_bytes()


def path_of(generation_id: int) -> sql.Composed:
    """Where its tables, and what all generations share, are found."""
    schemas = dict.fromkeys([schema_of(generation_id), "public"])
    return sql.SQL(", ").join(map(sql.Identifier, schemas))
