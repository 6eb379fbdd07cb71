"""A made-up index of any size: tenants of Zipf sizes, documents with permissions, clustered vectors.

All of it follows from one seed. Vectors are a topic's centre plus noise, as embeddings of real text are. A document
allows `group:seen-<share>` with that probability, `group:topic-<share>` by its topic: permissions go with subjects in
real organisations, and are hardest then on the walk of a filtered index.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from uuid import UUID, uuid5

import numpy as np
from numpy.typing import NDArray
from pgvector import HalfVector
from psycopg import Connection
from psycopg.types.json import Jsonb

from retrieval.access import TenantId, tenant_id
from retrieval.models.protocols import Vectors

DIMENSIONS = 384
CHUNKS_PER_DOCUMENT = 8
SHARES = (0.001, 0.01, 0.05, 0.2, 0.5, 1.0)
_TOPICS = 500
_NOISE = 1.0
_SEED = 20261121
_IDS = UUID(int=_SEED)
LOTS = 1000


@dataclass(frozen=True, kw_only=True)
class MadeUpTenant:
    """One tenant's chunks; chunk i is chunk i % 8 of document i // 8."""

    rank: int
    chunk_count: int

    @property
    def tenant(self) -> TenantId:
        return tenant_id(f"tenant-{self.rank:04d}")

    @property
    def document_count(self) -> int:
        return -(-self.chunk_count // CHUNKS_PER_DOCUMENT)

    @cached_property
    def topics(self) -> NDArray[np.int64]:
        """Each document's topic."""
        return np.random.default_rng((_SEED, self.rank, 1)).integers(_TOPICS, size=self.document_count)

    @cached_property
    def vectors(self) -> Vectors:
        """Unit vectors at the precision they are stored in, shape (chunk_count, DIMENSIONS)."""
        of_document = np.repeat(self.topics, CHUNKS_PER_DOCUMENT)[: self.chunk_count]
        return _near(_centres()[of_document], np.random.default_rng((_SEED, self.rank, 2)))

    def questions(self, count: int) -> Vectors:
        """Vectors near topics that the tenant writes about, shape (count, DIMENSIONS)."""
        rng = np.random.default_rng((_SEED, self.rank, 3))
        return _near(_centres()[rng.choice(self.topics, size=count)], rng)

    @cached_property
    def lots(self) -> NDArray[np.int64]:
        """Each document's `metadata.lot`, from 0 to below `LOTS`, whatever it is about."""
        return np.random.default_rng((_SEED, self.rank, 6)).integers(LOTS, size=self.document_count)

    def allows(self, group: str) -> NDArray[np.bool_]:
        """For each document, whether this group may see it."""
        kind, share = group.removeprefix("group:").rsplit("-", 1)
        if kind == "topic":
            chance = np.random.default_rng((_SEED, self.rank, 4)).random(_TOPICS)[self.topics]
        else:
            chance = np.random.default_rng((_SEED, self.rank, 5)).random(self.document_count)
        seen: NDArray[np.bool_] = chance < float(share)
        return seen


GROUPS = tuple(f"group:{kind}-{share}" for kind in ("seen", "topic") for share in SHARES)


def made_up_tenants(chunks: int, tenants: int) -> tuple[MadeUpTenant, ...]:
    """Tenants whose sizes fall with their rank (Zipf, exponent 1) and add up to about `chunks`."""
    scale = chunks / sum(1 / rank for rank in range(1, tenants + 1))
    return tuple(MadeUpTenant(rank=rank, chunk_count=max(1, round(scale / rank))) for rank in range(1, tenants + 1))


def load(connection: Connection[tuple[object, ...]], tenant: MadeUpTenant) -> None:
    """Copies the tenant in, as a superuser: the made-up rows need no second wall."""
    connection.execute("INSERT INTO tenants (tenant_id) VALUES (%s)", [tenant.tenant])
    connection.execute("INSERT INTO language_statistics VALUES (%s, 'en', %s)", [tenant.tenant, tenant.chunk_count])
    for statement, types, rows in (
        (_DOCUMENTS, _DOCUMENT_TYPES, _document_rows(tenant)),
        (_CUTS, _CUT_TYPES, _cut_rows(tenant)),
        (_CHUNKS, _CHUNK_TYPES, _chunk_rows(tenant)),
        (_EMBEDDINGS, _EMBEDDING_TYPES, _embedding_rows(tenant)),
    ):
        with connection.cursor() as cursor, cursor.copy(statement) as copy:
            copy.set_types(types)
            for row in rows:
                copy.write_row(row)
    for statement in (_GRANTS, _PRINCIPALS, _FIELDS, _FIELD_COUNTS):
        connection.execute(statement, [tenant.tenant])


def document_id(tenant: MadeUpTenant, at: int) -> UUID:
    """The id of the tenant's document number `at`."""
    return uuid5(_IDS, f"{tenant.rank}/{at}")


def _document_rows(tenant: MadeUpTenant) -> Iterator[tuple[object, ...]]:
    allowed = {group: tenant.allows(group) for group in GROUPS}
    now = datetime.now(UTC)
    for at in range(tenant.document_count):
        acl = ["user:nobody", *(group for group, seen in allowed.items() if seen[at])]
        yield (
            tenant.tenant, document_id(tenant, at), f"made-up/{at}", "", acl,
            Jsonb(_metadata(tenant, at)), "en", "text/plain", "-", [],
            b"", 1, now,
        )  # fmt: skip


def _metadata(tenant: MadeUpTenant, at: int) -> dict[str, object]:
    return {"lot": int(tenant.lots[at]), "topic": int(tenant.topics[at]), "kind": "report", "reviewed": "2026-01-31"}


def _cut_rows(tenant: MadeUpTenant) -> Iterator[tuple[object, ...]]:
    for at in range(tenant.document_count):
        count = min(CHUNKS_PER_DOCUMENT, tenant.chunk_count - at * CHUNKS_PER_DOCUMENT)
        yield tenant.tenant, document_id(tenant, at), 1, "made up", count, ""


def _chunk_rows(tenant: MadeUpTenant) -> Iterator[tuple[object, ...]]:
    nothing = Jsonb([])
    for at in range(tenant.chunk_count):
        document, ordinal = divmod(at, CHUNKS_PER_DOCUMENT)
        yield tenant.tenant, document_id(tenant, document), ordinal, [], nothing, "", "-", 0, 1, [], 1


def _embedding_rows(tenant: MadeUpTenant) -> Iterator[tuple[object, ...]]:
    for at, vector in enumerate(tenant.vectors):
        document, ordinal = divmod(at, CHUNKS_PER_DOCUMENT)
        yield tenant.tenant, document_id(tenant, document), ordinal, HalfVector(vector)


def _centres() -> Vectors:
    centres = np.random.default_rng(_SEED).standard_normal((_TOPICS, DIMENSIONS)).astype(np.float32)
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    return centres


def _near(centres: Vectors, rng: np.random.Generator) -> Vectors:
    noise = rng.standard_normal(centres.shape).astype(np.float32) * np.float32(_NOISE / np.sqrt(DIMENSIONS))
    found = centres + noise
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    rounded: Vectors = found.astype(np.float16).astype(np.float32)
    return rounded


_DOCUMENTS = (
    "COPY documents (tenant_id, document_id, uri, title, acl, metadata, language, content_type, content, page_starts,"
    " fingerprint, version, updated_at) FROM STDIN WITH (FORMAT binary)"
)
_DOCUMENT_TYPES = (
    "text", "uuid", "text", "text", "text[]", "jsonb", "text", "text", "text", "int4[]", "bytea", "int4",
    "timestamptz",
)  # fmt: skip
_CUTS = (
    "COPY cut_documents (tenant_id, document_id, version, recipe, chunk_count, problem) FROM STDIN WITH (FORMAT binary)"
)
_CUT_TYPES = ("text", "uuid", "int4", "text", "int4", "text")
_CHUNKS = (
    "COPY chunks (tenant_id, document_id, ordinal, heading_path, sections, context, text, char_start, char_end,"
    " page_starts, token_count) FROM STDIN WITH (FORMAT binary)"
)
_CHUNK_TYPES = ("text", "uuid", "int4", "text[]", "jsonb", "text", "text", "int4", "int4", "int4[]", "int4")
_EMBEDDINGS = "COPY embeddings (tenant_id, document_id, ordinal, embedding) FROM STDIN WITH (FORMAT binary)"
_GRANTS = (
    "INSERT INTO grants (tenant_id, principal, document_id) SELECT tenant_id, unnest(acl), document_id"
    " FROM documents WHERE tenant_id = %s"
)
_PRINCIPALS = (
    "INSERT INTO principal_statistics (tenant_id, principal, chunk_count) SELECT tenant_id, principal, sum(chunk_count)"
    " FROM grants JOIN cut_documents USING (tenant_id, document_id) WHERE tenant_id = %s GROUP BY tenant_id, principal"
)
_FIELDS = (
    "INSERT INTO document_fields (tenant_id, document_id, fields) SELECT tenant_id, document_id, jsonb_build_object("
    "'metadata.lot', metadata -> 'lot', 'metadata.topic', metadata -> 'topic', 'metadata.kind', metadata -> 'kind',"
    " 'metadata.reviewed', metadata -> 'reviewed', 'uri', uri, 'title', title, 'language', language, 'content_type',"
    " content_type, 'version', version, 'dates', jsonb_build_object('updated_at', 0))"
    " FROM documents WHERE tenant_id = %s"
)
_FIELD_COUNTS = (
    "INSERT INTO field_statistics (tenant_id, field, kind, document_count)"
    " SELECT tenant_id, field, 'number', count(*) FROM documents, unnest('{metadata.lot,metadata.topic}'::text[]) field"
    " WHERE tenant_id = %s GROUP BY tenant_id, field"
)
_EMBEDDING_TYPES = ("text", "uuid", "int4", "halfvec")
