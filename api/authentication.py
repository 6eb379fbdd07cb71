"""Who is asking: from a bearer key to a `Caller`, always of the key's own tenant."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated

from fastapi import Depends, Header, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

from api.schemas.base import Principals
from retrieval.access import Caller, caller
from retrieval.engine import Engine
from retrieval.errors import AccessDenied, Unauthenticated
from retrieval.keys import ApiKey, find_key

MANAGES = "documents"
"""The scope of a key that manages all of the tenant's documents."""

StillAdmitted = Callable[[], Awaitable[None]]
"""Looks again whether the request's key is good for it. Raises `Unauthenticated` and `AccessDenied`."""
_bearer = HTTPBearer(
    auto_error=False, scheme_name="ApiKey", bearerFormat="pk_…", description="An API key from `pincite keys create`"
)


def opened_engine(request: Request) -> Engine:
    """The engine this process serves from."""
    engine: Engine = request.app.state.engine
    return engine


async def known_key(
    engine: Annotated[Engine, Depends(opened_engine)],
    presented: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> ApiKey:
    """The known key that the request presents. Raises `Unauthenticated`."""
    if presented is None:
        raise Unauthenticated("send an API key: Authorization: Bearer pk_…")
    return await find_key(engine, presented.credentials)


async def querying_key(key: Annotated[ApiKey, Depends(known_key)]) -> ApiKey:
    """The key, if it may query. Raises `AccessDenied`."""
    if "query" not in key.scopes:
        raise AccessDenied("this API key may not ask questions (scope: query)")
    return key


async def reading_key(key: Annotated[ApiKey, Depends(known_key)]) -> ApiKey:
    """The key, if it may be told of documents, as one who may see them or as one who manages all. Raises
    `AccessDenied`."""
    if key.scopes.isdisjoint({"query", MANAGES}):
        raise AccessDenied("this API key may not read documents (scope: query, or documents)")
    return key


async def managing_key(key: Annotated[ApiKey, Depends(known_key)]) -> ApiKey:
    """The key, if it may manage all of its tenant's documents. Raises `AccessDenied`."""
    if MANAGES not in key.scopes:
        raise AccessDenied("this API key may not manage documents (scope: documents)")
    return key


def still_managing(
    engine: Annotated[Engine, Depends(opened_engine)],
    presented: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> StillAdmitted:
    """For what lasts: looks again whether the key may manage all of its tenant's documents."""

    async def look() -> None:
        await managing_key(await known_key(engine, presented))

    return look


def caller_of(key: ApiKey, principals: Sequence[str] | None) -> Caller:
    """Who asks: with the scope `act_as` the named principals (none named: only `everyone`), else the key's own.

    A key with `act_as` never lends its own: a front end that forgets to name them must not open the service's
    documents. Raises `AccessDenied` when a key without it names any.
    """
    if "act_as" in key.scopes:
        return caller(key.tenant, list(principals or ()))
    if principals is not None:
        raise AccessDenied("this API key may not speak for others (scope: act_as): leave out principals")
    return caller(key.tenant, key.principals)


def may_explain(key: ApiKey) -> None:
    """Raises `AccessDenied` unless the key has the scope `explain`, or `admin`, which holds it."""
    if key.scopes.isdisjoint({"explain", "admin"}):
        raise AccessDenied("this API key may not ask for explanations (scope: explain)")


async def administering_key(key: Annotated[ApiKey, Depends(querying_key)]) -> ApiKey:
    """The key, if it may manage what is its tenant's. Raises `AccessDenied`."""
    if "admin" not in key.scopes:
        raise AccessDenied("this API key may not do that (scope: admin)")
    return key


def _listed(lines: list[str]) -> list[str]:
    # Header bytes reach us decoded as Latin-1; what clients send is UTF-8. Empty elements do not count (RFC 9110).
    try:
        text = ",".join(lines).encode("latin-1").decode("utf-8")
    except UnicodeError:
        raise PydanticCustomError("not_utf_8", "must be UTF-8") from None
    return [named for element in text.split(",") if (named := element.strip(" \t"))]


OpenedEngine = Annotated[Engine, Depends(opened_engine)]
QueryingKey = Annotated[ApiKey, Depends(querying_key)]
AdministeringKey = Annotated[ApiKey, Depends(administering_key)]
ReadingKey = Annotated[ApiKey, Depends(reading_key)]
ManagingKey = Annotated[ApiKey, Depends(managing_key)]
StillManaging = Annotated[StillAdmitted, Depends(still_managing)]
HeaderPrincipals = Annotated[
    Principals | None,
    BeforeValidator(_listed),
    Header(
        alias="X-Pincite-Principals",
        description="As `principals` in a question's body: `user:ada, group:eng`, in UTF-8. Only with `act_as`.",
    ),
]
"""The principals of a request without a body. A header, because addresses end up in the logs of proxies."""
