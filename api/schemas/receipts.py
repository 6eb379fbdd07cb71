"""What says that something was deleted."""

from collections.abc import Mapping
from datetime import datetime
from typing import Self
from uuid import UUID

from pydantic import Field

from api.schemas.base import Wire
from ingest.deleting.receipts import Receipt, Scope, State, Verification


class ReceiptOut(Wire):
    """A deletion: what went, and since when nothing finds it. It names nothing: ids follow from tenant and uri."""

    receipt_id: UUID
    scope: Scope
    asked_by: str
    asked_at: datetime
    state: State = Field(description="`under_way`: it broke off; what it counts is gone, what it does not is not")
    invisible_at: datetime = Field(description="From then on nothing of it was found")
    removed: Mapping[str, int] = Field(description="Rows, by table")
    asked: str = Field(description="SHA-256 of what was asked for: who knows that can show that the receipt is for it")
    digest: str = Field(description="SHA-256 of the receipt, in hexadecimal digits")

    @classmethod
    def of(cls, receipt: Receipt) -> Self:
        return cls(
            receipt_id=receipt.receipt_id,
            scope=receipt.scope,
            asked_by=receipt.asked_by,
            asked_at=receipt.asked_at,
            state=receipt.state,
            invisible_at=receipt.invisible_at,
            removed=receipt.removed,
            asked=receipt.asked.hex(),
            digest=receipt.digest.hex(),
        )


class ReceiptsResponse(Wire):
    """The tenant's deletions, the newest first."""

    receipts: list[ReceiptOut]


class VerificationOut(Wire):
    """What a later look found."""

    holds: bool = Field(description="The receipt is as it was written, and nothing that it is for was left behind")
    intact: bool
    left: Mapping[str, int] = Field(description="Rows that should not be there, by table")
    again: int = Field(description="Documents that were handed in again since: what they have is not left over")

    @classmethod
    def of(cls, found: Verification) -> Self:
        return cls(holds=found.holds, intact=found.intact, left=found.left, again=found.again)
