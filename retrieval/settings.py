"""Every setting, by group, with its unit and default. Read from the environment (and `.env`) at the edge only."""

from dataclasses import dataclass, field
from functools import partial
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Literal, Self, TypeVar

from cryptography.fernet import Fernet
from limits import parse_many
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from retrieval.endpoints import EndpointSettings, read_endpoints
from retrieval.errors import InvalidSettings

Group = TypeVar("Group", bound=BaseSettings)
Network = IPv4Network | IPv6Network


def _group(prefix: str) -> SettingsConfigDict:
    return SettingsConfigDict(
        env_prefix=prefix,
        env_file=".env",
        extra="ignore",
        frozen=True,
        env_ignore_empty=True,
        hide_input_in_errors=True,  # a traceback must not show a key
        allow_inf_nan=False,  # nan passes every bound, and no number of seconds or weight is infinite
    )


class DatabaseSettings(BaseSettings):
    """Where the documents live. Without a URL, an embedded Postgres in `data_dir`."""

    model_config = _group("PINCITE_")

    database_url: SecretStr | None = Field(None, description="Postgres ≥ 15 with pgvector ≥ 0.8.4; unset: embedded")
    data_dir: Path = Field(Path(".pincite"), description="Holds the embedded server's data and the demo's files")
    database_pool_size: int = Field(10, ge=1, description="Connections per process, besides one for shadow searches")
    database_timeout: float = Field(5.0, gt=0, description="Seconds to wait for a connection, and for a statement")
    database_prepare: bool = Field(True, description="Prepared statements; false behind PgBouncer (transaction mode)")


class EmbedderSettings(BaseSettings):
    """The model that turns text into vectors. A database is bound to one: see `IndexMismatch`."""

    model_config = _group("PINCITE_EMBEDDER_")

    provider: Literal["sentence-transformers", "openai"] = Field(
        "sentence-transformers", description="A local model, or any OpenAI-compatible embeddings API"
    )
    model: str = Field("minilm", description="`minilm` (all-MiniLM-L6-v2 from a wheel), a model's name, or its path")
    backend: Literal["auto", "openvino", "torch"] = Field(
        "auto", description="A local model's: `auto` is OpenVINO where it is installed and agrees with torch"
    )
    base_url: str | None = Field(None, description="OpenAI-compatible: the API's base URL")
    api_key: SecretStr | None = Field(None, description="OpenAI-compatible: the API's key")
    max_tokens: int = Field(256, ge=16, description="OpenAI-compatible: longest input in tokens a chunk may take")
    tokenizer: str = Field("cl100k_base", description="OpenAI-compatible: tiktoken encoding that measures chunks")
    batch_size: int = Field(32, ge=1, description="Texts per model call")
    timeout: float = Field(5.0, gt=0, description="Seconds a question may wait for its embedding")


class RerankerSettings(BaseSettings):
    """What re-reads the best passages with the question: a cross-encoder, or the embedder's own token vectors."""

    model_config = _group("PINCITE_RERANKER_")

    provider: Literal["auto", "none", "late-interaction", "sentence-transformers", "cohere", "tei"] = Field(
        "auto",
        description="late-interaction; a cross-encoder by sentence-transformers; HTTP as Cohere, Jina and vLLM take it"
        " (cohere) or TEI; none; `auto`: a cross-encoder where a model is named, else late-interaction",
    )
    model: str | None = Field(None, description="A CrossEncoder's name or path, or the HTTP model's name")
    url: str | None = Field(None, description="HTTP: the endpoint's whole URL, such as https://api.jina.ai/v1/rerank")
    api_key: SecretStr | None = Field(None, description="HTTP: the endpoint's key")
    top_n: int = Field(20, ge=1, description="How many fused candidates are re-read")
    weight: float = Field(0.5, ge=0, description="Weight of the reranker's z-score beside the fused one's")
    budget: float = Field(1.0, gt=0, description="Seconds; what is not scored by then keeps its fused place")
    cache_mb: int = Field(256, ge=0, description="Late interaction: memory for token vectors of passages met before")

    @property
    def kind(self) -> Literal["none", "late-interaction", "sentence-transformers", "cohere", "tei"]:
        """The provider that `auto` comes to."""
        if self.provider != "auto":
            return self.provider
        return "late-interaction" if self.model is None else "sentence-transformers"

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if self.provider in {"cohere", "tei"} and self.url is None:
            raise PydanticCustomError("no_url", "an HTTP reranker needs PINCITE_RERANKER_URL")
        if self.provider == "sentence-transformers" and self.model is None:
            raise PydanticCustomError("no_model", "a cross-encoder needs PINCITE_RERANKER_MODEL")
        if self.kind in {"late-interaction", "sentence-transformers"} and (self.url or self.api_key):
            unused = "PINCITE_RERANKER_URL" if self.url else "PINCITE_RERANKER_API_KEY"
            message = "{unused} is used only with PINCITE_RERANKER_PROVIDER=cohere or tei"
            raise PydanticCustomError("unused", message, {"unused": unused})
        return self


class LlmSettings(BaseSettings):
    """Any OpenAI-compatible chat endpoint, or several. Without a model, answers are quoted from the passages."""

    model_config = _group("PINCITE_LLM_")

    model: str | None = Field(None, description="The model's name; unset: the extractive answerer")
    base_url: str | None = Field(None, description="The API's base URL; unset: OpenAI's")
    api_key: SecretStr | None = Field(None, description="The API's key; local servers often need none")
    endpoints: Annotated[tuple[EndpointSettings, ...] | None, NoDecode, BeforeValidator(read_endpoints)] = Field(
        None, description="Several endpoints instead of the one: a JSON list, or a YAML or JSON file's path (README)"
    )
    ask_from: float = Field(0.15, ge=0, le=1, description="Confidence from which it is asked; it may still say no")
    max_output_tokens: int = Field(600, ge=1, description="Most tokens an answer may take")
    max_context_tokens: int = Field(3000, ge=200, description="Most tokens of passages put before the model")
    context_window: int | None = Field(None, ge=512, description="All tokens the model can hold; unset: enough")
    connect_timeout: float = Field(3.0, gt=0, description="Seconds to connect")
    token_timeout: float = Field(15.0, gt=0, description="Seconds between two tokens, the first included")
    deadline: float = Field(60.0, gt=0, description="Seconds for the whole answer")
    retries: int = Field(2, ge=0, description="Retries of 429, 5xx and connection errors, before the first token")
    repairs: int = Field(1, ge=0, le=5, description="Times a model may mend JSON that does not fit the asked schema")
    concurrency: int = Field(8, ge=1, description="Answers each endpoint writes at once, per process; more wait")
    waiting: int = Field(32, ge=0, description="Answers that may wait for one; beyond them: `overloaded`, HTTP 503")
    patience: float = Field(5.0, gt=0, description="Seconds an answer waits for its turn")
    rewrite_timeout: float = Field(
        5.0, gt=0, description="Seconds to word a follow-up question so that it stands alone"
    )
    history_tokens: int = Field(1000, ge=100, description="Most tokens of a conversation; the oldest turns are dropped")
    tools: bool = Field(True, description="Whether a request may let the model search, open and list documents itself")
    tool_steps: int = Field(4, ge=1, le=20, description="Most tool calls for one answer, those refused included")

    @model_validator(mode="after")
    def _has_one_way_to_name_endpoints(self) -> Self:
        of_one = {"MODEL": self.model, "BASE_URL": self.base_url, "API_KEY": self.api_key}
        for name, value in of_one.items() if self.endpoints else ():
            if value is not None:
                reason = "PINCITE_LLM_{name} is one endpoint's: beside PINCITE_LLM_ENDPOINTS nothing would read it"
                raise PydanticCustomError("two_ways", reason, {"name": name})
        return self

    @property
    def servers(self) -> tuple[EndpointSettings, ...]:
        """Every endpoint, however it is configured; none: nothing is to be asked."""
        if self.model is None:
            return self.endpoints or ()
        only = EndpointSettings(name="default", model=self.model, base_url=self.base_url, api_key=self.api_key)
        return (only,)


class BreakerSettings(BaseSettings):
    """When a server that fails is left alone, and for how long. One breaker for each server, per process."""

    model_config = _group("PINCITE_BREAKER_")

    failures: int = Field(5, ge=1, description="Failures within the window that open a server's breaker")
    window: float = Field(60.0, gt=0, description="Seconds within which they count")
    rest: float = Field(30.0, gt=0, description="Seconds it stays open before one call may probe")


class SpendingSettings(BaseSettings):
    """What language models cost, and what happens when a budget is used up."""

    model_config = _group("PINCITE_SPENDING_")

    prices: Path | None = Field(None, description="A file like retrieval/spending/prices.toml, which it goes before")
    when_exhausted: Literal["extractive", "refuse"] = Field(
        "extractive", description="When a budget is used up: the quoted answer, or HTTP 429 (refuse)"
    )


class SearchSettings(BaseSettings):
    """How passages are found. The numbers' origins are in retrieval/search."""

    model_config = _group("PINCITE_SEARCH_")

    at_once: int = Field(8, ge=1, description="Searches at work at once, per process; more wait, tenants in turn")
    waiting: int = Field(64, ge=0, description="Searches that may wait; beyond them: `overloaded`, HTTP 503")
    patience: float = Field(5.0, gt=0, description="Seconds a search waits for its turn")
    candidates: int = Field(100, ge=1, le=1000, description="Candidates each leg proposes")
    exact_below: int = Field(5000, ge=0, description="Visible chunks up to which the dense leg scans exactly")
    ef_search: int = Field(200, ge=10, le=1000, description="HNSW search width")
    shadow_rate: float = Field(
        0.01, ge=0, le=1, description="Share of searches by index repeated exactly in the background; 0: none"
    )
    dense_weight: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Cosine's share in fusion, BM25's is the rest; unset: by what each question brings",
    )
    refuse_below: float = Field(0.3, ge=0, le=1, description="Confidence under which nothing is quoted as an answer")


class GuardSettings(BaseSettings):
    """What may not leave in an answer, and what a provider may not see. Links to foreign places never pass."""

    model_config = _group("PINCITE_GUARD_")

    secrets: Literal["redact", "off"] = Field("redact", description="Credentials in answers and quotes: redact, off")
    pii: Literal["redact", "off"] = Field(
        "off", description="E-mail addresses, phone numbers, IBANs, cards, SSNs in answers and quotes: redact, off"
    )
    provider_pii: Literal["mask", "off"] = Field(
        "off", description="The same, before the LLM's provider sees it: mask (the answer has it again), off"
    )


class CacheSettings(BaseSettings):
    """Which answers of an LLM are kept, and for how long. Kept per tenant and per set of principals."""

    model_config = _group("PINCITE_CACHE_")

    enabled: bool = Field(True, description="Keep answers, and write one that many ask for at once only once")
    exact_ttl: float = Field(86400.0, gt=0, description="Seconds an answer is kept for the same question and passages")
    semantic_ttl: float = Field(
        900.0, ge=0, description="Seconds it is kept for nearly the same question; 0: not at all"
    )
    similarity: float = Field(0.97, ge=0.9, le=1, description="Cosine from which a question is nearly the same")
    entries: int = Field(1000, ge=1, le=10_000, description="Most answers kept per tenant; the oldest go first")


class ApiSettings(BaseSettings):
    """The HTTP server."""

    model_config = _group("PINCITE_API_")

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

    model_config = _group("PINCITE_LIMITS_")

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

    model_config = _group("PINCITE_KEEPING_")

    seconds: float = Field(3600.0, gt=0, description="Seconds an answer is kept after its last event")
    answers: int = Field(5000, ge=1, description="Most answers kept per tenant; beyond them the oldest go")
    max_bytes: int = Field(1024 * 1024, ge=64 * 1024, description="Most bytes of events a kept answer may take")
    grace: float = Field(10.0, ge=0, description="Seconds an answer is written on when nobody follows it any more")
    lease: float = Field(15.0, gt=0, description="Seconds after which a silent process's answers may be begun anew")
    flush: float = Field(0.2, gt=0, description="Seconds between two writings of what running answers said")
    poll: float = Field(0.5, gt=0, description="Most seconds between two looks at another process's answer")


class IngestSettings(BaseSettings):
    """Limits and measures of the ingest path."""

    model_config = _group("PINCITE_INGEST_")

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

    model_config = _group("PINCITE_WORKER_")

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

    model_config = _group("PINCITE_OUTBOUND_")

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

    model_config = _group("PINCITE_WEBHOOKS_")

    key: Annotated[SecretStr, AfterValidator(_fernet_keys)] | None = Field(
        None, description="Fernet key that seals signing secrets in the database; several, by commas: the first seals"
    )
    timeout: float = Field(15.0, gt=0, le=60, description="Seconds an endpoint may take to answer")
    keep_days: float = Field(30.0, gt=0, description="Days a message is kept, to be listed and replayed")


class SyncSettings(BaseSettings):
    """Sources that the index follows, and the limits of a sync."""

    model_config = _group("PINCITE_SYNC_")

    sources: Path | None = Field(None, description="The YAML file that declares the sources (README)")
    max_delete_percent: float = Field(
        50.0, ge=0, le=100, description="Most of a source a sync may remove without --allow-mass-delete"
    )
    max_entries: int = Field(1_000_000, ge=1, description="A source that lists more is left as it is")
    batch_bytes: int = Field(256 * 1024 * 1024, ge=1, description="Disk that fetched documents may take at once")
    timeout: float = Field(30.0, gt=0, description="Seconds a source may be silent")


class TelemetrySettings(BaseSettings):
    """What an operator sees of the service, besides `/metrics`."""

    model_config = _group("PINCITE_TELEMETRY_")

    otlp_endpoint: str | None = Field(
        None, description="OpenTelemetry collector (OTLP over HTTP) such as http://localhost:4318; unset: no traces"
    )
    service_name: str = Field("pincite", description="The service's name in traces")
    log_format: Literal["text", "json"] = Field("text", description="Lines on stderr for people, or JSON for programs")
    access_log: bool = Field(True, description="Log each response: route, status, milliseconds, request id")
    content: Literal["off", "redacted"] = Field(
        "off", description="Whether prompts and answers are put into traces, secrets and personal data taken out"
    )


def read_group(group: type[Group]) -> Group:
    """One group, read from the environment. Raises `InvalidSettings`, naming the setting."""
    try:
        return group()
    except ValidationError as error:
        raise InvalidSettings(_explain(error)) from error


def _explain(error: ValidationError) -> str:
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"])
    return f"setting {error.title}.{name}: {first['msg']}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All groups; those not given are read from the environment. Raises `InvalidSettings`, naming the setting."""

    database: DatabaseSettings = field(default_factory=partial(read_group, DatabaseSettings))
    embedder: EmbedderSettings = field(default_factory=partial(read_group, EmbedderSettings))
    reranker: RerankerSettings = field(default_factory=partial(read_group, RerankerSettings))
    llm: LlmSettings = field(default_factory=partial(read_group, LlmSettings))
    breaker: BreakerSettings = field(default_factory=partial(read_group, BreakerSettings))
    spending: SpendingSettings = field(default_factory=partial(read_group, SpendingSettings))
    cache: CacheSettings = field(default_factory=partial(read_group, CacheSettings))
    guard: GuardSettings = field(default_factory=partial(read_group, GuardSettings))
    search: SearchSettings = field(default_factory=partial(read_group, SearchSettings))
    api: ApiSettings = field(default_factory=partial(read_group, ApiSettings))
    limits: LimitsSettings = field(default_factory=partial(read_group, LimitsSettings))
    keeping: KeepingSettings = field(default_factory=partial(read_group, KeepingSettings))
    ingest: IngestSettings = field(default_factory=partial(read_group, IngestSettings))
    worker: WorkerSettings = field(default_factory=partial(read_group, WorkerSettings))
    outbound: OutboundSettings = field(default_factory=partial(read_group, OutboundSettings))
    webhooks: WebhookSettings = field(default_factory=partial(read_group, WebhookSettings))
    sync: SyncSettings = field(default_factory=partial(read_group, SyncSettings))
    telemetry: TelemetrySettings = field(default_factory=partial(read_group, TelemetrySettings))
