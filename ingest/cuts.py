"""What a document is cut into, as a generation of the index holds it."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from uuid import UUID

from pgvector import HalfVector
from psycopg.types.json import Jsonb

from ingest.domain import Block, Chunk
from retrieval.models.protocols import Vectors

STAGED_TYPES = (
    "uuid", "text", "int4", "text[]", "jsonb", "text", "text", "text", "int4", "int4", "int4", "int4", "int4[]", "int4",
    "halfvec",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """A version of a document cut by a recipe, with a vector for each chunk. `problem`: why there are none."""

    document_id: UUID
    version: int
    language: str
    recipe: str
    chunks: tuple[Chunk, ...]
    vectors: Vectors
    problem: str = ""

    def without_chunks(self, problem: str) -> "Cut":
        """The same, with nothing but the reason why."""
        return replace(self, chunks=(), vectors=self.vectors[:0], problem=problem)


def cut_row(cut: Cut) -> dict[str, object]:
    """The row that says that it is there."""
    return {
        "document_id": cut.document_id,
        "version": cut.version,
        "recipe": cut.recipe,
        "chunk_count": len(cut.chunks),
        "problem": cut.problem,
    }


def staged_rows(cuts: Iterable[Cut]) -> Iterator[tuple[object, ...]]:
    """A row for each chunk, of the types `STAGED_TYPES`."""
    for cut in cuts:
        for chunk, vector in zip(cut.chunks, cut.vectors, strict=True):
            yield cut.document_id, cut.language, *_staged(chunk, vector)


def blocks_row(blocks: Iterable[Block]) -> list[tuple[object, ...]]:
    """Blocks as they are kept with their document."""
    return [(block.kind, block.start, block.end, block.level, block.name) for block in blocks]


def kept_blocks(rows: Sequence[Sequence[object]]) -> tuple[Block, ...]:
    """The blocks that were kept so."""
    return tuple(
        Block(kind=kind, start=start, end=end, level=level, name=name)  # type: ignore[arg-type]
        for kind, start, end, level, name in rows
    )


def _staged(chunk: Chunk, vector: Vectors) -> tuple[object, ...]:
    return (
        chunk.ordinal,
        list(chunk.heading_path),
        Jsonb([asdict(section) for section in chunk.sections]),
        chunk.context,
        chunk.lead,
        chunk.text,
        chunk.char_start,
        chunk.char_end,
        chunk.first_page,
        chunk.last_page,
        list(chunk.page_starts),
        chunk.token_count,
        HalfVector(vector),
    )
