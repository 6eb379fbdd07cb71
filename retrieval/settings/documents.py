"""How documents come in: ingest, workers, sources, webhooks."""

from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated

from cryptography.fernet import Fernet
from pydantic import AfterValidator, Field, SecretStr
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings

from retrieval.settings.reading import group

Network = IPv4Network | IPv6Network


class IngestSettings(BaseSettings):
    """Limits and measures of the ingest path."""

    model_config = group("PINCITE_INGEST_")

    max_file_bytes: int = Field(50 * 1024 * 1024, ge=1, description="Larger files are reported, not read")
    max_text_chars: int = Field(20_000_000, ge=1, description="Longer extracted texts are reported, not indexed")
    parse_timeout: float = Field(120.0, gt=0, description="Seconds one document may take to parse")
    index_from: int = Field(5000, ge=0, description="A tenant with more chunks gets a vector index of its own")
    overlap_tokens: int = Field(32, ge=0, description="Tokens of whole sentences repeated from the chunk before")
    context_written: bool = Field(
        False, description="Let the LLM say of each chunk where it stands, to be found by that: a call for each, booked"
    )
    context_tokens: int = Field(48, ge=8, description="Most tokens of that; chunks are cut shorter by as many")


class WorkerSettings(BaseSettings):
    """The workers that index what was handed in over HTTP."""

    model_config = group("PINCITE_WORKER_")

    inside: bool | None = Field(
        None, description="Whether `pincite serve` runs a worker itself; unset: with the embedded Postgres"
    )
    turns: int = Field(2, ge=1, le=32, description="Tenants a worker works for at once")
    turn_seconds: float = Field(1.0, gt=0, description="Seconds after which a tenant lets the next one have its turn")
    parsers: int = Field(1, ge=1, le=64, description="Processes that parse, per worker")
    lost_after: float = Field(30.0, ge=1, description="Seconds of silence after which a worker counts as lost")
    keep_days: float = Field(7.0, gt=0, description="Days a finished job can be asked about, and its failures retried")
    max_waiting: int = Field(
        1_000_000, ge=1, description="Documents a tenant may have waiting; beyond them: `queue_full`, HTTP 429"
    )
    max_waiting_bytes: int = Field(10 * 1024**3, ge=1, description="Bytes of them, which the database keeps meanwhile")
    metrics_port: int | None = Field(
        None,
        ge=1,
        le=65535,
        description="Port on which `pincite worker` serves measures to Prometheus; unset: none",
    )
    direct_url: SecretStr | None = Field(
        None, description="The database without a pooler in between, for LISTEN; unset: PINCITE_DATABASE_URL"
    )


def _inner(text: str) -> tuple[tuple[Network, ...], frozenset[str]]:
    """The networks and the hosts of a list of both."""
    entries = [entry for each in text.split(",") if (entry := each.strip().lower().rstrip("."))]
    networks, hosts = list[Network](), set[str]()
    for entry in entries:
        try:
            networks.append(ip_network(entry))
        except ValueError:
            hosts.add(entry)
    if any("/" in host or ":" in host for host in hosts):
        raise PydanticCustomError("not_a_host", "must be hosts and networks, such as hooks.internal,10.2.0.0/16")
    return tuple(networks), frozenset(hosts)


def _allow_list(text: str) -> str:
    _inner(text)
    return text


def _ports(text: str) -> str:
    if not all(each.strip().isdecimal() and 0 < int(each) < 65536 for each in text.split(",")):
        raise PydanticCustomError("not_ports", "must be ports, such as 80,443")
    return text


class OutboundSettings(BaseSettings):
    """Where URLs that users give may lead: of webhooks, documents and websites. Public addresses alone, else."""

    model_config = group("PINCITE_OUTBOUND_")

    allow: Annotated[str, AfterValidator(_allow_list)] = Field(
        "", description="Inner hosts and networks that may be called as well: hooks.internal,10.2.0.0/16"
    )
    ports: Annotated[str, AfterValidator(_ports)] = Field("80,443", description="Ports that may be called")

    @property
    def networks(self) -> tuple[Network, ...]:
        return _inner(self.allow)[0]

    @property
    def hosts(self) -> frozenset[str]:
        return _inner(self.allow)[1]

    @property
    def open_ports(self) -> frozenset[int]:
        return frozenset(map(int, self.ports.split(",")))


def _fernet_keys(keys: SecretStr) -> SecretStr:
    try:
        for key in keys.get_secret_value().split(","):
            Fernet(key.strip())
    except ValueError:
        raise PydanticCustomError("not_a_key", "must be Fernet keys: each 32 bytes in URL-safe base64") from None
    return keys


class WebhookSettings(BaseSettings):
    """What happened to documents, told to URLs that asked for it."""

    model_config = group("PINCITE_WEBHOOKS_")

    key: Annotated[SecretStr, AfterValidator(_fernet_keys)] | None = Field(
        None, description="Fernet key that seals signing secrets in the database; several, by commas: the first seals"
    )
    timeout: float = Field(15.0, gt=0, le=60, description="Seconds an endpoint may take to answer")
    keep_days: float = Field(30.0, gt=0, description="Days a message is kept, to be listed and replayed")


class SyncSettings(BaseSettings):
    """Sources that the index follows, and the limits of a sync."""

    model_config = group("PINCITE_SYNC_")

    sources: Path | None = Field(None, description="The YAML file that declares the sources (README)")
    max_delete_percent: float = Field(
        50.0, ge=0, le=100, description="Most of a source a sync may remove without --allow-mass-delete"
    )
    max_entries: int = Field(1_000_000, ge=1, description="A source that lists more is left as it is")
    batch_bytes: int = Field(256 * 1024 * 1024, ge=1, description="Disk that fetched documents may take at once")
    timeout: float = Field(30.0, gt=0, description="Seconds a source may be silent")
