"""Who is asking: from a bearer key to a `Caller`, always of the key's own tenant."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from retrieval.access import Caller, caller
from retrieval.engine import Engine
from retrieval.errors import AccessDenied, Unauthenticated
from retrieval.keys import ApiKey, find_key

_bearer = HTTPBearer(
    auto_error=False, scheme_name="ApiKey", bearerFormat="pk_…", description="An API key from `pincite keys create`"
)


def opened_engine(request: Request) -> Engine:
    """The engine this process serves from."""
    engine: Engine = request.app.state.engine
    return engine


async def querying_key(
    engine: Annotated[Engine, Depends(opened_engine)],
    presented: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> ApiKey:
    """The known key that the request presents. Raises `Unauthenticated`, or `AccessDenied` if it may not query."""
    if presented is None:
        raise Unauthenticated("send an API key: Authorization: Bearer pk_…")
    key = await find_key(engine, presented.credentials)
    if "query" not in key.scopes:
        raise AccessDenied("this API key may not ask questions (scope: query)")
    return key


def caller_of(key: ApiKey, principals: Sequence[str] | None) -> Caller:
    """The key's tenant with the named principals, or its own. Raises `AccessDenied` without the scope `act_as`."""
    if principals is None:
        return caller(key.tenant, key.principals)
    if "act_as" not in key.scopes:
        raise AccessDenied("this API key may not speak for others (scope: act_as): leave out principals")
    return caller(key.tenant, list(principals))


OpenedEngine = Annotated[Engine, Depends(opened_engine)]
QueryingKey = Annotated[ApiKey, Depends(querying_key)]
