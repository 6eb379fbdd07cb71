"""`pincite delete` and `pincite receipts`."""

import getpass
import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

import typer

from ingest.deleting.documents import delete_documents, delete_matching, find_matching
from ingest.deleting.receipts import Deletion, Receipt, find_receipt, list_receipts, verify
from ingest.deleting.tenants import delete_tenant
from retrieval.access import tenant_id
from retrieval.database.preparing import prepare_database
from retrieval.errors import InputError
from retrieval.filter_json import parse_filter
from retrieval.settings import Settings

receipts = typer.Typer(no_args_is_help=True, help="What was deleted: list, show, verify")

Tenant = Annotated[str, typer.Option(help="The tenant, also one that is gone")]


def delete_command(
    tenant: Annotated[str, typer.Option(help="Whose documents")],
    uris: Annotated[list[str] | None, typer.Argument(help="The documents' uris", show_default=False)] = None,
    wanted: Annotated[
        str | None, typer.Option("--filter", metavar="JSON", help='{"field": "metadata.year", "eq": 2019}')
    ] = None,
    whole: Annotated[bool, typer.Option("--all-of-tenant", help="Everything: keys, budgets, ledger too")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do it: else --filter only counts")] = False,
) -> None:
    """Delete documents, or a whole tenant, with all that came from them; prints the receipt as JSON.

    What is deleted is found by nothing from the moment that the receipt names.
    """
    if [bool(uris), wanted is not None, whole].count(True) != 1:
        raise InputError("name uris, or a --filter, or --all-of-tenant")
    owner, asked_at = tenant_id(tenant), datetime.now(UTC)
    deletion = Deletion(
        dsn=prepare_database(Settings()), tenant=owner, asked_by=f"cli:{getpass.getuser()}", asked_at=asked_at
    )
    if whole and not yes:
        raise InputError("--all-of-tenant cannot be undone: say --yes as well")
    if wanted is not None and not yes:
        found = find_matching(deletion, parse_filter(wanted))
        chunks = sum(match.chunk_count for match in found)
        print(f"would delete {len(found)} documents ({chunks} chunks): say --yes to do it")
        return
    if whole:
        receipt = delete_tenant(deletion)
    elif wanted is not None:
        receipt = delete_matching(deletion, parse_filter(wanted))
    else:
        receipt = delete_documents(deletion, uris=uris or ())
    print(receipt.as_json())


@receipts.command("list")
def list_command(tenant: Tenant) -> None:
    """A tenant's receipts, newest first, a line each."""
    for receipt in list_receipts(prepare_database(Settings()), tenant_id(tenant)):
        print(_line(receipt))


@receipts.command("show")
def show_command(receipt_id: UUID, tenant: Tenant) -> None:
    """One receipt as JSON."""
    print(find_receipt(prepare_database(Settings()), tenant_id(tenant), receipt_id).as_json())


@receipts.command("verify")
def verify_command(receipt_id: UUID, tenant: Tenant) -> None:
    """Look again for what was deleted. Exit code 1: something of it is there, or the receipt was changed."""
    found = verify(prepare_database(Settings()), tenant_id(tenant), receipt_id)
    print(json.dumps({"holds": found.holds, **asdict(found)}))
    if not found.holds:
        raise typer.Exit(1)


def _line(receipt: Receipt) -> str:
    what = f"{receipt.documents} documents" if receipt.scope != "tenant" else "the tenant"
    when = f"{receipt.invisible_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    return f"{receipt.receipt_id} {what}, {receipt.state}, asked by {receipt.asked_by}, invisible since {when}"
