"""What the caller's questions cost."""

from datetime import UTC, date, datetime, time
from typing import Annotated

from fastapi import APIRouter, Query, Request

from api.authentication import HeaderPrincipals, OpenedEngine, QueryingKey, caller_of
from api.limiting import limited
from api.openapi import problems
from api.schemas.usage import UsageResponse
from retrieval.spending.reporting import By, report_usage

router = APIRouter(tags=["usage"])

Since = Annotated[date | None, Query(description="First day (UTC); left out: this month's first")]
Parted = Annotated[By, Query(description="What the sums are parted by")]


@router.get("/v1/usage", responses=problems(401, 403, 422, 429, 503))
async def usage(
    request: Request,
    key: QueryingKey,
    engine: OpenedEngine,
    since: Since = None,
    by: Parted = "day",
    principals: HeaderPrincipals = None,
) -> UsageResponse:
    """What language models took and cost for calls made as the caller's principals, and what is left of its budgets.

    A key with the scope `admin` is told so of its whole tenant.
    """
    today = datetime.now(UTC).date()
    begin = datetime.combine(since or today.replace(day=1), time(tzinfo=UTC))
    asker = await limited(request, key, caller_of(key, principals))
    report = await report_usage(engine.store, asker, begin, by, whole_tenant="admin" in key.scopes)
    return UsageResponse.of(report, begin, by)
