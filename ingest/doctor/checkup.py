"""The whole examination: the server, what belongs to no tenant, then each tenant by itself."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import psycopg
from psycopg.rows import class_row

from ingest.doctor.findings import EVERYWHERE, Finding
from ingest.doctor.indexes import examine_index, examine_nobodys
from ingest.doctor.patient import open_patient
from ingest.doctor.server import disk_findings, ledger_findings, pgvector_findings, server_findings
from ingest.doctor.tenants import Check, checks, examined, generation_checks, recipe_check
from ingest.indexing import tidy
from ingest.transactions import connected
from retrieval.access import TenantId, tenant_id
from retrieval.database.errors import store_errors
from retrieval.database.generations import Generation, live_one
from retrieval.database.server import check_server
from retrieval.database.statements import reference_statement
from retrieval.errors import GenerationChanged
from retrieval.models.protocols import Embedder
from retrieval.settings import DatabaseSettings

Connection = psycopg.Connection[Any]
Row = TypeVar("Row")


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkup:
    """What to examine. Without an embedder, nothing is said of it and vectors are not mended; without the recipe that
    documents are cut by today, nothing of older ones."""

    dsn: str
    settings: DatabaseSettings
    index_from: int
    embedder: Embedder | None
    recipe: str | None = None
    fix: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tenant:
    tenant_id: str
    leaving: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Setting:
    name: str
    setting: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    found: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Keys:
    tenant_id: str
    found: int


def examine(checkup: Checkup, only: TenantId | None = None) -> Iterator[Finding]:
    """Everything that is wrong, as it is found; with `fix`, what is safe to mend is mended on the way.

    Raises `StoreUnavailable`.
    """
    with connected(checkup.dsn) as connection:
        known = _rows(connection, Generation, "generations", "retrieval")
        tenants = _rows(connection, _Tenant, "tenants")
        yield from _server(checkup, connection, known)
        yield from _model(live_one(known), checkup.embedder)
        yield from _keys(connection)
    yield from examine_nobodys(checkup.dsn, [tenant_id(each.tenant_id) for each in tenants], fix=checkup.fix)
    for each in tenants:
        if only in {None, each.tenant_id}:
            yield from _leaving(each) if each.leaving else _tenant(checkup, tenant_id(each.tenant_id), known)


def _server(checkup: Checkup, connection: Connection, known: Sequence[Generation]) -> Iterator[Finding]:
    with store_errors():
        version = check_server(connection)
    settings = {each.name: each.setting for each in _rows(connection, _Setting, "server_settings")}
    [size] = _rows(connection, _Found, "database_size")
    [ledger] = _rows(connection, _Found, "ledger_size")
    [unread] = _rows(connection, _Found, "unread_tables")
    yield from pgvector_findings(version)
    yield from server_findings(settings, size.found, checkup.settings)
    yield from ledger_findings(ledger.found)
    yield from disk_findings(checkup.settings)
    if unread.found:
        finding = Finding(
            code="never_analyzed", severity="warn", tenant=EVERYWHERE, count=unread.found,
            what="large tables that the planner knows nothing of", remedy="pincite doctor --fix",
        )  # fmt: skip
        if checkup.fix:
            for generation in known:
                tidy(checkup.dsn, generation.generation_id)
        yield replace(finding, mended=checkup.fix)


def _model(live: Generation | None, embedder: Embedder | None) -> Iterator[Finding]:
    if live is not None and embedder is not None and live.embedder != embedder.name:
        yield Finding(
            code="other_model", severity="error", tenant=EVERYWHERE, count=1,
            what=f"embedder configured ({embedder.name}) that is not the index's ({live.embedder})",
            remedy="set PINCITE_EMBEDDER_MODEL back",
        )  # fmt: skip


def _keys(connection: Connection) -> Iterator[Finding]:
    for keys in _rows(connection, _Keys, "wide_keys"):
        yield Finding(
            code="wide_keys", severity="info", tenant=keys.tenant_id, count=keys.found,
            what="keys that speak for anybody and see what is hidden", remedy="give each task a key of its own",
        )  # fmt: skip


def _leaving(tenant: _Tenant) -> Iterator[Finding]:
    yield Finding(
        code="leaving", severity="warn", tenant=tenant.tenant_id, count=1, what="tenant whose deletion broke off",
        remedy=f"pincite delete --tenant {tenant.tenant_id} --all-of-tenant --yes",
    )  # fmt: skip


def _tenant(checkup: Checkup, tenant: TenantId, known: Sequence[Generation]) -> Iterator[Finding]:
    with open_patient(checkup.dsn, tenant) as patient:
        yield from _examined(checkup, tenant, checks(patient))
    for generation in known:
        with suppress(GenerationChanged):  # it was dropped meanwhile
            for finding in _generation(checkup, tenant, generation):
                where = "" if generation.state == "live" else f" (generation {generation.generation_id})"
                yield replace(finding, what=f"{finding.what}{where}")


def _generation(checkup: Checkup, tenant: TenantId, generation: Generation) -> Iterator[Finding]:
    embedder = checkup.embedder
    usable = embedder if embedder is not None and embedder.name == generation.embedder else None
    with open_patient(checkup.dsn, tenant, generation.generation_id) as patient:
        yield from _examined(checkup, tenant, generation_checks(patient, generation, usable))
        if generation.state == "live" and checkup.recipe is not None and usable is not None:
            yield from _examined(checkup, tenant, [recipe_check(patient, checkup.recipe)])
        chunks = patient.chunks()
    yield from examine_index(checkup.dsn, tenant, generation, chunks, checkup.index_from, fix=checkup.fix)


def _examined(checkup: Checkup, tenant: TenantId, wanted: Iterable[Check]) -> Iterator[Finding]:
    for check in wanted:
        finding = examined(tenant, check, fix=checkup.fix)
        if finding is not None:
            yield finding


def _rows(connection: Connection, row: type[Row], name: str, package: str = "ingest.doctor") -> list[Row]:
    nothing: dict[str, Any] = {}
    with store_errors(), connection.cursor(row_factory=class_row(row)) as cursor:
        return cursor.execute(reference_statement(package, name).query, nothing).fetchall()
