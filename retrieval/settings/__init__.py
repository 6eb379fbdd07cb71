"""Every setting, by group, with its unit and default. Read from the environment (and `.env`) at the edge only."""

from dataclasses import dataclass, field
from functools import partial

from retrieval.settings.answering import (
    BreakerSettings,
    CacheSettings,
    EmbedderSettings,
    GuardSettings,
    LlmSettings,
    RerankerSettings,
    SearchSettings,
    SpendingSettings,
)
from retrieval.settings.documents import IngestSettings, OutboundSettings, SyncSettings, WebhookSettings, WorkerSettings
from retrieval.settings.reading import read_group
from retrieval.settings.service import ApiSettings, DatabaseSettings, KeepingSettings, LimitsSettings, TelemetrySettings

__all__ = [
    "ApiSettings",
    "BreakerSettings",
    "CacheSettings",
    "DatabaseSettings",
    "EmbedderSettings",
    "GuardSettings",
    "IngestSettings",
    "KeepingSettings",
    "LimitsSettings",
    "LlmSettings",
    "OutboundSettings",
    "RerankerSettings",
    "SearchSettings",
    "Settings",
    "SpendingSettings",
    "SyncSettings",
    "TelemetrySettings",
    "WebhookSettings",
    "WorkerSettings",
    "read_group",
]


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
