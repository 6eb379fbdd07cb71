"""Where answers are kept, and where processes tell each other which one they are writing."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from pgvector import HalfVector
from psycopg.types.json import Jsonb

from retrieval.caching.inquiry import Inquiry
from retrieval.caching.kept import KEPT, KeptAnswer, fitted
from retrieval.database.statements import TenantStatement, tenant_statement
from retrieval.database.store import CallerSession, Store
from retrieval.domain import AnswerFinished
from retrieval.settings import CacheSettings

LEASE = 10.0
"""Seconds after which a claim lapses whose holder has died. Who lives renews it three times as often."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    exact: bool
    answer: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Touched:
    key: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class _Holding:
    position: int


class Shelf:
    """A tenant's kept answers and claims, for one inquiry. Everything here raises `StoreUnavailable`."""

    def __init__(self, store: Store, settings: CacheSettings, inquiry: Inquiry) -> None:
        self._store = store
        self._settings = settings
        self._inquiry = inquiry

    async def find(self) -> AnswerFinished | None:
        """A kept answer that a fresh one could be, every citation of it read again as the caller in the same statement
        that found it."""
        inquiry = self._inquiry
        async with self._session() as session:
            rows = await session.rows(
                _Found,
                _statement("find_answers"),
                scope=inquiry.scope,
                key=inquiry.key,
                embedding=self._embedding,
                similarity=self._settings.similarity,
            )
        for row in rows:
            answer = fitted(KEPT.validate_python(row.answer), inquiry.retrieval)
            if answer is not None:
                return replace(answer, cache="exact" if row.exact else "semantic")
        return None

    async def keep(self, kept: KeptAnswer) -> bool:
        """Keeps the answer, in one transaction with seeing that its citations and the documents it was written from
        hold; False where one does not."""
        held = _held(kept)
        async with self._session() as session:
            holding = await session.rows(_Holding, _statement("hold_cited"), **held)
            if len(holding) < len(held["quotes"]):
                return False
            await session.rows(
                _Touched,
                _statement("keep_answer"),
                scope=self._inquiry.scope,
                key=self._inquiry.key,
                embedding=self._embedding,
                document_ids=[source.document_id for source in kept.sources],
                answer=Jsonb(KEPT.dump_python(kept, mode="json")),
                semantic_ttl=self._settings.semantic_ttl,
                exact_ttl=self._settings.exact_ttl,
            )
            await session.rows(_Touched, _statement("drop_answers"), entries=self._settings.entries)
            return True

    async def claim(self, holder: UUID) -> bool:
        """Whether the answer is now the holder's to write, for `LEASE` seconds."""
        return await self._touch("claim_answer", holder=holder, lease=LEASE)

    async def renew(self, holder: UUID) -> bool:
        """Whether the holder still has its claim, for `LEASE` seconds from now."""
        return await self._touch("renew_claim", holder=holder, lease=LEASE)

    async def release(self, holder: UUID) -> None:
        """Gives the holder's claim up; lapsed ones go with it."""
        await self._touch("release_claim", holder=holder)

    @property
    def _embedding(self) -> HalfVector | None:
        """None finds nothing that is only similar, and is not found by it."""
        embedding = self._inquiry.retrieval.embedding
        return None if embedding is None or self._settings.semantic_ttl == 0 else HalfVector(embedding)

    async def _touch(self, name: str, **parameters: object) -> bool:
        async with self._session() as session:
            return bool(await session.rows(_Touched, _statement(name), key=self._inquiry.key, **parameters))

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[CallerSession]:
        async with self._store.session(self._inquiry.caller) as session:
            yield session


def _held(kept: KeptAnswer) -> dict[str, list[object]]:
    """The places its citations point at, and of each document it was written from the empty one at its beginning."""
    places: list[tuple[object, ...]] = [
        (one.document_id, one.version, one.char_start, one.char_end, one.quote, one.redacted) for one in kept.citations
    ]
    places += [(source.document_id, source.version, 0, 0, "", False) for source in kept.sources]
    names = ("document_ids", "versions", "char_starts", "char_ends", "quotes", "redacted")
    return dict(zip(names, map(list, zip(*places, strict=True)), strict=True))


def _statement(name: str) -> TenantStatement:
    return tenant_statement("retrieval.caching", name)
