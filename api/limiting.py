"""How often may be asked: per API key and per asker, counted where all processes of the service see it.

A count that cannot be kept hurts nobody: the request goes on, unlimited, and the operator is told.
"""

import asyncio
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import structlog
from limits import RateLimitItem, parse
from limits.aio.storage import Storage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from limits.errors import ConfigurationError
from limits.storage import storage_from_string
from starlette.requests import Request

from retrieval.access import Caller
from retrieval.errors import InvalidSettings, RateLimited
from retrieval.keeping.identity import digest
from retrieval.keys import ApiKey
from retrieval.settings import LimitsSettings
from retrieval.telemetry import Telemetry

_PATIENCE = 1.0  # seconds that counting outside this process may take
_REST = 5.0  # seconds it is left alone after it failed

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """One limit, and how much of it this request left. `reset`: seconds until there is more."""

    name: str
    limit: RateLimitItem
    left: int
    reset: int
    admitted: bool


class Limits:
    """Counts requests. Raises `InvalidSettings` where the counts cannot be kept as configured."""

    def __init__(self, settings: LimitsSettings, telemetry: Telemetry) -> None:
        rates = {"principal": settings.per_principal, "key": settings.per_key}
        self._limits = {name: parse(rate) for name, rate in rates.items() if rate is not None}
        self._counter = SlidingWindowCounterRateLimiter(_storage(settings))
        self._patience = None if settings.storage is None else _PATIENCE
        self._telemetry = telemetry
        self._resting_until = float("-inf")

    async def count(self, key: ApiKey, caller: Caller) -> list[Quota]:
        """What each limit says of this request, up to the first that refuses it: what is refused by the asker's own
        does not count for its key. Nothing where the counts cannot be kept."""
        if not self._limits or time.monotonic() < self._resting_until:
            return []
        try:
            async with asyncio.timeout(self._patience):
                return await self._counted(key, caller)
        except Exception as error:  # noqa: BLE001 - whatever the storage raises, the request goes on
            self._resting_until = time.monotonic() + _REST
            self._telemetry.limits_not_kept()
            _log.warning("rate_limits_not_kept", reason=repr(error), seconds=_REST)
            return []

    async def _counted(self, key: ApiKey, caller: Caller) -> list[Quota]:
        who = {"principal": digest(_asker(caller)).hex(), "key": key.key_id}
        quotas = list[Quota]()
        for name, limit in self._limits.items():
            admitted = await self._counter.hit(limit, name, who[name])
            window = await self._counter.get_window_stats(limit, name, who[name])
            reset = max(1, math.ceil(window.reset_time - time.time()))
            quotas.append(Quota(name=name, limit=limit, left=window.remaining, reset=reset, admitted=admitted))
            if not admitted:
                break
        return quotas


async def limited(request: Request, key: ApiKey, caller: Caller) -> Caller:
    """The caller, if it may ask now; the response will say how often it still may. Raises `RateLimited`."""
    limits: Limits = request.app.state.limits
    quotas = await limits.count(key, caller)
    if quotas:
        request.state.rate_limit = dict(_headers(quotas))
    for quota in quotas:
        if not quota.admitted:
            raise RateLimited(f"too many requests: {quota.limit} for each {quota.name}", quota.reset)
    return caller


def _headers(quotas: Sequence[Quota]) -> Iterator[tuple[str, str]]:
    # draft-ietf-httpapi-ratelimit-headers-10: lists of structured fields, one for each limit.
    yield (
        "RateLimit-Policy",
        ", ".join(f'"{each.name}";q={each.limit.amount};w={each.limit.get_expiry()}' for each in quotas),
    )
    yield "RateLimit", ", ".join(f'"{each.name}";r={each.left};t={each.reset}' for each in quotas)


def _asker(caller: Caller) -> list[str]:
    """Whose requests count together: the user's, or where no user is named, those of the same groups."""
    users = sorted(each for each in caller.principals if each.startswith("user:"))
    return [caller.tenant, *(users or sorted(caller.principals))]


def _storage(settings: LimitsSettings) -> Storage:
    where = "memory://" if settings.storage is None else settings.storage.get_secret_value()
    try:
        storage = storage_from_string(f"async+{where}")
    except (ConfigurationError, ValueError) as error:
        raise InvalidSettings(
            f"setting LimitsSettings.storage: {type(error).__name__}, see PINCITE_LIMITS_STORAGE"
        ) from error
    assert isinstance(storage, Storage)  # what async+ stands for
    return storage
