"""Forgetting the caller is a type error, so it cannot be merged."""

from pathlib import Path

from mypy import api

GOOD = """
from retrieval.access import Caller
from retrieval.database.statements import TenantStatement
from retrieval.database.store import Store

async def read(store: Store, caller: Caller, statement: TenantStatement) -> list[int]:
    async with store.session(caller) as session:
        return await session.rows(int, statement)
"""
BAD = {
    "a tenant statement without a session": GOOD.replace(
        "async with store.session(caller) as session:\n        return await session.rows(int, statement)",
        "return await store.reference_rows(int, statement)",
    ),
    "a session without a caller": GOOD.replace("store.session(caller)", "store.session()"),
    "a session for a bare tenant": GOOD.replace("store.session(caller)", "store.session('acme')"),
}


def check(code: str, tmp_path: Path) -> int:
    file = tmp_path / "snippet.py"
    file.write_text(code)
    return api.run(["--strict", "--no-error-summary", "--cache-dir", str(tmp_path / "cache"), str(file)])[2]


def test_a_query_without_a_caller_does_not_type_check(tmp_path: Path) -> None:
    """The right way type-checks; every way around the caller is refused by mypy."""
    assert check(GOOD, tmp_path) == 0
    for way, code in BAD.items():
        assert code != GOOD
        assert check(code, tmp_path) == 1, way
