"""The whole examination: the server, what belongs to no tenant, then each tenant by itself."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import psycopg
from psycopg.rows import class_row

from ingest.doctor.findings import EVERYWHERE, Finding
from ingest.doctor.indexes import examine_index, examine_nobodys
from ingest.doctor.patient import open_patient
from ingest.doctor.server import disk_findings, ledger_findings, pgvector_findings, server_findings
from ingest.doctor.tenants import checks, examined
from ingest.indexing import tidy
from ingest.store import connected
from retrieval.access import TenantId, tenant_id
from retrieval.database.errors import store_errors
from retrieval.database.server import check_server
from retrieval.database.statements import reference_statement
from retrieval.engine import IndexProfile
from retrieval.models.protocols import Embedder
from retrieval.settings import DatabaseSettings

Connection = psycopg.Connection[Any]
Row = TypeVar("Row")


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkup:
    """What to examine. Without an embedder, nothing is said of it and vectors are not mended."""

    dsn: str
    settings: DatabaseSettings
    index_from: int
    embedder: Embedder | None
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
        profiles = _rows(connection, IndexProfile, "index_profile", "retrieval")
        profile = profiles[0] if profiles else None
        tenants = _rows(connection, _Tenant, "tenants")
        yield from _server(checkup, connection)
        yield from _model(profile, checkup.embedder)
        yield from _keys(connection)
    yield from examine_nobodys(checkup.dsn, [tenant_id(each.tenant_id) for each in tenants], fix=checkup.fix)
    for each in tenants:
        if only in {None, each.tenant_id}:
            yield from _leaving(each) if each.leaving else _tenant(checkup, tenant_id(each.tenant_id), profile)


def _server(checkup: Checkup, connection: Connection) -> Iterator[Finding]:
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
            tidy(checkup.dsn)
        yield replace(finding, mended=checkup.fix)


def _model(profile: IndexProfile | None, embedder: Embedder | None) -> Iterator[Finding]:
    if profile is not None and embedder is not None and profile.embedder != embedder.name:
        yield Finding(
            code="other_model", severity="error", tenant=EVERYWHERE, count=1,
            what=f"embedder configured ({embedder.name}) that is not the index's ({profile.embedder})",
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


def _tenant(checkup: Checkup, tenant: TenantId, profile: IndexProfile | None) -> Iterator[Finding]:
    usable = checkup.embedder if profile and checkup.embedder and checkup.embedder.name == profile.embedder else None
    with open_patient(checkup.dsn, tenant) as patient:
        for check in checks(patient, profile, usable):
            finding = examined(tenant, check, fix=checkup.fix)
            if finding is not None:
                yield finding
        chunks = patient.chunks()
    if profile is not None:
        yield from examine_index(checkup.dsn, tenant, profile, chunks, checkup.index_from, fix=checkup.fix)


def _rows(connection: Connection, row: type[Row], name: str, package: str = "ingest.doctor") -> list[Row]:
    nothing: dict[str, Any] = {}
    with store_errors(), connection.cursor(row_factory=class_row(row)) as cursor:
        return cursor.execute(reference_statement(package, name).query, nothing).fetchall()
