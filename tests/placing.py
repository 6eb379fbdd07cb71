"""Documents put into an index past files and parsers: one chunk per line, each of a made-up language model's words."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psycopg

from ingest.domain import Block, Chunk, Document, SourceFile
from ingest.examining import Parsed
from ingest.indexing import claim_generation
from ingest.recipes import cut_recipe
from ingest.store import EmbeddedDocument, add_tenant, open_writer
from retrieval.access import tenant_id
from retrieval.settings import Settings
from tests.fakes import WordEmbedder

EVERYONE = frozenset({"everyone"})
RECIPE = cut_recipe(WordEmbedder(), Settings().ingest)


def source(uri: str, acl: frozenset[str] = EVERYONE, metadata: Mapping[str, Any] | None = None) -> SourceFile:
    """A file as its owner describes it."""
    return SourceFile(path=Path(uri), uri=uri, title=None, acl=acl, metadata=metadata or {}, language=None)


def made(described: SourceFile, text: str) -> EmbeddedDocument:
    """The document of that text, a chunk for each line."""
    lines = text.splitlines()
    starts = [sum(len(line) + 1 for line in lines[:at]) for at in range(len(lines))]
    blocks = tuple(
        Block(kind="paragraph", start=start, end=start + len(line)) for start, line in zip(starts, lines, strict=True)
    )
    document = Document(title=described.uri, text=text, blocks=blocks, page_starts=(), content_type="text/plain")
    parsed = Parsed(source=described, document=document, language="en", fingerprint=f"{described.uri}{text}".encode())
    chunks = tuple(_chunk(at, start, line) for at, (start, line) in enumerate(zip(starts, lines, strict=True)))
    return EmbeddedDocument(parsed=parsed, chunks=chunks, recipe=RECIPE, vectors=WordEmbedder().embed_documents(lines))


def place(dsn: str, tenant: str, *documents: EmbeddedDocument) -> None:
    """Puts the documents into the tenant's index, which is bound to the words' model."""
    add_tenant(dsn, tenant_id(tenant))
    generation = claim_generation(dsn, WordEmbedder())
    with open_writer(dsn, tenant_id(tenant)) as writer:
        writer.replace(documents, generation.generation_id)


def emptied(dsn: str) -> None:
    """Takes every tenant and every receipt away."""
    with psycopg.connect(dsn) as connection:
        connection.execute("TRUNCATE tenants, deletion_receipts CASCADE")


def _chunk(ordinal: int, start: int, text: str) -> Chunk:
    return Chunk(
        ordinal=ordinal,
        heading_path=(),
        sections=(),
        lead="",
        context="",
        text=text,
        char_start=start,
        char_end=start + len(text),
        first_page=None,
        last_page=None,
        page_starts=(),
        token_count=9,
    )
