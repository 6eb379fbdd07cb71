"""The service itself: its database, its API and its limits, and what is seen of it."""

from pathlib import Path
from typing import Annotated, Literal

from limits import parse_many
from pydantic import AfterValidator, Field, SecretStr
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings

from retrieval.settings.reading import group


class DatabaseSettings(BaseSettings):
    """Where the documents live. Without a URL, an embedded Postgres in `data_dir`."""

    model_config = group("PINCITE_")

    database_url: SecretStr | None = Field(None, description="Postgres ≥ 15 with pgvector ≥ 0.8.4; unset: embedded")
    data_dir: Path = Field(Path(".pincite"), description="Holds the embedded server's data and the demo's files")
    database_pool_size: int = Field(10, ge=1, description="Connections per process, besides one for shadow searches")
    database_timeout: float = Field(5.0, gt=0, description="Seconds to wait for a connection, and for a statement")
    database_prepare: bool = Field(True, description="Prepared statements; false behind PgBouncer (transaction mode)")


class ApiSettings(BaseSettings):
    """The HTTP server."""

    model_config = group("PINCITE_API_")

    host: str = Field("127.0.0.1", description="Address to listen on")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0: any free one")
    max_body_bytes: int = Field(64 * 1024, ge=1024, description="Largest request body")
    metrics: bool = Field(True, description="Serve GET /metrics (Prometheus, no key, nothing of a tenant)")
    heartbeat: float = Field(15.0, gt=0, description="Seconds of silence after which a stream sends a comment")


def _rate(text: str) -> str:
    try:
        rates = parse_many(text)
    except ValueError:
        rates = []
    if len(rates) != 1 or rates[0].amount < 1:
        raise PydanticCustomError("not_a_rate", "must be one rate, such as 600/minute")
    return text


Rate = Annotated[str, AfterValidator(_rate)]


class LimitsSettings(BaseSettings):
    """How often may be asked, over HTTP."""

    model_config = group("PINCITE_LIMITS_")

    per_key: Rate | None = Field(
        None, description="Requests an API key may make, such as 600/minute; unset: any number"
    )
    per_principal: Rate | None = Field(
        None, description="Requests a user may make, such as 60/minute; where no user is named, each set of principals"
    )
    storage: SecretStr | None = Field(
        None, description="Where several processes count together: redis://host:6379 (pip install 'pincite[redis]')"
    )


class KeepingSettings(BaseSettings):
    """Answers asked for with an `Idempotency-Key`, kept to be given again."""

    model_config = group("PINCITE_KEEPING_")

    seconds: float = Field(3600.0, gt=0, description="Seconds an answer is kept after its last event")
    answers: int = Field(5000, ge=1, description="Most answers kept per tenant; beyond them the oldest go")
    max_bytes: int = Field(1024 * 1024, ge=64 * 1024, description="Most bytes of events a kept answer may take")
    grace: float = Field(10.0, ge=0, description="Seconds an answer is written on when nobody follows it any more")
    lease: float = Field(15.0, gt=0, description="Seconds after which a silent process's answers may be begun anew")
    flush: float = Field(0.2, gt=0, description="Seconds between two writings of what running answers said")
    poll: float = Field(0.5, gt=0, description="Most seconds between two looks at another process's answer")


class TelemetrySettings(BaseSettings):
    """What an operator sees of the service, besides `/metrics`."""

    model_config = group("PINCITE_TELEMETRY_")

    otlp_endpoint: str | None = Field(
        None, description="OpenTelemetry collector (OTLP over HTTP) such as http://localhost:4318; unset: no traces"
    )
    service_name: str = Field("pincite", description="The service's name in traces")
    log_format: Literal["text", "json"] = Field("text", description="Lines on stderr for people, or JSON for programs")
    access_log: bool = Field(True, description="Log each response: route, status, milliseconds, request id")
    content: Literal["off", "redacted"] = Field(
        "off", description="Whether prompts and answers are put into traces, secrets and personal data taken out"
    )
