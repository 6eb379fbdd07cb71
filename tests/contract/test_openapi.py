"""The OpenAPI document is the contract: it changes only on purpose."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from api.app import create_app
from api.openapi import EVENTS
from retrieval.settings import Settings

SNAPSHOT = Path(__file__).with_name("openapi.json")
OPEN = {"/livez", "/readyz", "/metrics"}


@pytest.fixture(scope="module")
def described() -> dict[str, Any]:
    return create_app(Settings()).openapi()


def _operations(described: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [(path, operation) for path, methods in described["paths"].items() for operation in methods.values()]


def test_the_contract_is_the_committed_one(described: dict[str, Any]) -> None:
    """Run with UPDATE_SNAPSHOTS=1 to accept a change, and read the diff."""
    current = json.dumps(described, indent=2, ensure_ascii=False, sort_keys=True) + "\n"
    if os.environ.get("UPDATE_SNAPSHOTS"):
        SNAPSHOT.write_text(current)
    assert current == SNAPSHOT.read_text()


def test_every_reference_leads_somewhere(described: dict[str, Any]) -> None:
    """No `$ref` names a schema that is not there."""
    text = json.dumps(described)
    named = {part.split('"')[0] for part in text.split('"$ref": "#/components/schemas/')[1:]}
    assert named <= set(described["components"]["schemas"])


def test_every_route_but_those_for_operators_asks_for_a_key(described: dict[str, Any]) -> None:
    """Whatever reads documents carries the bearer scheme; nothing else does."""
    secured = {path for path, operation in _operations(described) if operation.get("security") == [{"ApiKey": []}]}
    assert secured == set(described["paths"]) - OPEN


def test_every_secured_route_documents_its_errors(described: dict[str, Any]) -> None:
    """401, 403, 422 and 503 are documented, with the one error body."""
    body = {"$ref": "#/components/schemas/ErrorBody"}
    for path, operation in _operations(described):
        if path in OPEN:
            continue
        for status in ("401", "403", "422", "503"):
            assert operation["responses"][status]["content"]["application/json"]["schema"] == body, (path, status)


def test_every_route_and_event_says_what_it_does(described: dict[str, Any]) -> None:
    """Descriptions are part of the contract."""
    assert [path for path, operation in _operations(described) if not operation.get("description")] == []
    schemas = described["components"]["schemas"]
    assert [name for name, model in EVENTS.items() if not schemas[model.__name__].get("description")] == []
