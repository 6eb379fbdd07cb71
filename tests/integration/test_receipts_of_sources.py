"""What goes because it is gone from its source goes with a receipt, as what is deleted by hand does."""

from pathlib import Path
from typing import Protocol
from uuid import UUID

import psycopg
import pytest

from ingest.deleting.receipts import find_receipt, list_receipts, verify
from ingest.pipeline import ingest
from ingest.sources import Request, select
from retrieval.errors import PinciteError
from tests.conftest import run_of
from tests.fakes import WordEmbedder
from tests.integration.test_ingest import counted_right
from tests.queues import ACME, rows
from tests.syncing import folder, sync, write

TEXTS = {f"{number}.md": f"# Part {number}\n\nThe pump number {number} needs oil.\n" for number in range(4)}


class Removing(Protocol):
    """A run that removes what is gone; the receipt's id."""

    def __call__(self, dsn: str, docs: Path, words: WordEmbedder, *, dry_run: bool = False) -> str | None: ...


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    docs = tmp_path / "docs"
    write(docs, TEXTS)
    return docs


def prune(dsn: str, docs: Path, words: WordEmbedder, *, dry_run: bool = False) -> str | None:
    """The receipt of a run of `pincite ingest --prune`."""
    selection = select(Request(paths=(docs,), acl=frozenset({"everyone"})))
    return ingest(run_of(dsn, words, prune=True, dry_run=dry_run), selection).receipt


def sync_folder(dsn: str, docs: Path, words: WordEmbedder, *, dry_run: bool = False) -> str | None:
    """The receipt of a run of `pincite sync`."""
    return sync(dsn, words, folder(docs), dry_run=dry_run).receipt


@pytest.mark.parametrize(("run", "asked_by"), [(prune, "prune"), (sync_folder, "sync:docs")], ids=["prune", "sync"])
def test_a_run_that_removes_has_one_receipt(
    dsn: str, docs: Path, words: WordEmbedder, run: Removing, asked_by: str
) -> None:
    """It counts what went and says who removed it; it verifies; a run that removes nothing has none."""
    assert run(dsn, docs, words) is None
    for name in ("0.md", "1.md"):
        (docs / name).unlink()
    assert run(dsn, docs, words, dry_run=True) is None
    named = run(dsn, docs, words)
    receipt = find_receipt(dsn, ACME, UUID(str(named)))
    assert (receipt.documents, receipt.asked_by, receipt.state) == (2, asked_by, "complete")
    assert verify(dsn, ACME, receipt.receipt_id).holds
    assert run(dsn, docs, words) is None
    assert [one.receipt_id for one in list_receipts(dsn, ACME)] == [receipt.receipt_id]
    counted_right(dsn)


@pytest.mark.parametrize("run", [prune, sync_folder], ids=["prune", "sync"])
def test_nothing_goes_without_its_receipt(dsn: str, docs: Path, words: WordEmbedder, run: Removing) -> None:
    """Where the receipt cannot be written, the documents stay: both are one transaction."""
    run(dsn, docs, words)
    (docs / "0.md").unlink()
    with psycopg.connect(dsn) as connection:
        connection.execute("REVOKE INSERT ON deletion_receipts FROM pincite_app")
    with pytest.raises(PinciteError):
        run(dsn, docs, words)
    assert rows(dsn, "SELECT count(*) FROM documents") == [(4,)]
