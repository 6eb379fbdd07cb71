"""Who is asking. Nothing reads tenant data without a `Caller`."""

import re
from dataclasses import dataclass
from typing import NewType

from retrieval.errors import InvalidPrincipal, InvalidTenant

EVERYONE = "everyone"
"""The principal every caller of a tenant holds; a document that allows it is visible to the whole tenant."""

NOBODY = "nobody"
"""What a document allows that nobody may see: no caller can hold it."""

TenantId = NewType("TenantId", str)

_TENANT = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_PRINCIPAL = re.compile(r"everyone|[a-z]{1,20}:[^\s,{}\"\\\x00-\x1f\ud800-\udfff]{1,200}")


@dataclass(frozen=True, slots=True)
class Caller:
    """A tenant and the principals (`user:ada`, `group:eng`) on whose behalf a read happens.

    The principals always contain `everyone`. Build one with `caller()`, which validates.
    """

    tenant: TenantId
    principals: frozenset[str]

    def may_see(self, acl: frozenset[str]) -> bool:
        """True when a document with this ACL is visible: at least one principal in common."""
        return not self.principals.isdisjoint(acl)


def caller(tenant: str, principals: frozenset[str] | set[str] | list[str] | tuple[str, ...]) -> Caller:
    """A validated `Caller`. Raises `InvalidTenant` or `InvalidPrincipal`."""
    return Caller(tenant_id(tenant), frozenset(map(principal, principals)) | {EVERYONE})


def tenant_id(text: str) -> TenantId:
    """A tenant's id: 1-63 of `a-z 0-9 _ -`, starting with a letter or digit. Raises `InvalidTenant`."""
    if not _TENANT.fullmatch(text):
        raise InvalidTenant(f"not a tenant id: {text!r} (1-63 of a-z, 0-9, '_' and '-')")
    return TenantId(text)


def principal(text: str) -> str:
    """A principal: `everyone` or `kind:name`, as in `user:ada` and `group:eng`. Raises `InvalidPrincipal`."""
    if not _PRINCIPAL.fullmatch(text):
        raise InvalidPrincipal(f"not a principal: {text!r} (want 'everyone' or 'kind:name', like 'group:eng')")
    return text
