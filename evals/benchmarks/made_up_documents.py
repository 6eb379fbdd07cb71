"""Documents as the ingest path hands them to the writer: made-up texts, given vectors, no model and no files."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from evals.benchmarks.made_up_words import CHUNKS_PER_TOPIC, MadeUpWords
from ingest.domain import Block, Chunk, Document, SourceFile
from ingest.examining import Parsed
from ingest.store import EmbeddedDocument
from retrieval.access import EVERYONE
from retrieval.models.protocols import Vectors

_SEED = 20261122
_BATCH_CHUNKS = 256


def made_up_documents(
    chunk_count: int,
    chunks_per_document: int,
    dimensions: int,
    acl: frozenset[str] = frozenset({EVERYONE}),
    folder: str = "made-up",
) -> Iterator[EmbeddedDocument]:
    """Documents of `chunks_per_document` chunks, `chunk_count` in all. Chunk i has text i of `MadeUpWords`."""
    words = MadeUpWords(chunk_count)
    for first in range(0, chunk_count, chunks_per_document):
        count = min(chunks_per_document, chunk_count - first)
        texts = [words.text(chunk) for chunk in range(first, first + count)]
        yield EmbeddedDocument(
            parsed=_parsed(f"{folder}/{first}", texts, acl),
            chunks=tuple(_chunks(texts)),
            recipe="made up",
            vectors=made_up_vectors(first, count, dimensions),
        )


def batches(documents: Iterable[EmbeddedDocument]) -> Iterator[list[EmbeddedDocument]]:
    """As many documents as the ingest path stores together: until they hold 256 chunks."""
    batch: list[EmbeddedDocument] = []
    for made in documents:
        batch.append(made)
        if sum(len(each.chunks) for each in batch) >= _BATCH_CHUNKS:
            yield batch
            batch = []
    if batch:
        yield batch


def made_up_vectors(first: int, count: int, dimensions: int) -> Vectors:
    """Unit vectors, near each other where the texts are about one topic."""
    centres = [
        np.random.default_rng((_SEED, (first + at) // CHUNKS_PER_TOPIC)).standard_normal(dimensions)
        for at in range(count)
    ]
    found = np.array(centres) + np.random.default_rng((_SEED, 1, first)).standard_normal((count, dimensions))
    unit: Vectors = (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)
    return unit


def _parsed(uri: str, texts: list[str], acl: frozenset[str]) -> Parsed:
    return Parsed(
        source=SourceFile(path=Path(uri), uri=uri, title=None, acl=acl, metadata={}, language=None),
        document=Document(
            title=uri, text="\n".join(texts), blocks=tuple(_blocks(texts)), page_starts=(), content_type="text/plain"
        ),
        language="en",
        fingerprint=uri.encode(),
    )


def _blocks(texts: list[str]) -> Iterator[Block]:
    start = 0
    for text in texts:
        yield Block(kind="paragraph", start=start, end=start + len(text))
        start += len(text) + 1


def _chunks(texts: list[str]) -> Iterator[Chunk]:
    start = 0
    for ordinal, text in enumerate(texts):
        yield Chunk(
            ordinal=ordinal,
            heading_path=(),
            sections=(),
            context="",
            lead="",
            text=text,
            char_start=start,
            char_end=start + len(text),
            first_page=None,
            last_page=None,
            page_starts=(),
            token_count=len(text) // 4,
        )
        start += len(text) + 1
