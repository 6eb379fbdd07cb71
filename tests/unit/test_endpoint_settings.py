"""Several endpoints in one setting: read from JSON or a file, wrong ones named, keys never shown."""

import json
import traceback
from pathlib import Path
from typing import Any

import pytest

from retrieval.errors import InvalidSettings
from retrieval.settings import LlmSettings, Settings

ONE = {"name": "one", "model": "small", "base_url": "http://one/v1", "api_key": "sk-secret-1", "weight": 3}
TWO = {"name": "two", "model": "large", "priority": 2}


def _read(monkeypatch: pytest.MonkeyPatch, endpoints: Any) -> LlmSettings:
    written = endpoints if isinstance(endpoints, str) else json.dumps(endpoints)
    monkeypatch.setenv("PINCITE_LLM_ENDPOINTS", written)
    return Settings().llm


def test_a_json_list_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each entry is an endpoint, in the given order, with the defaults for what it leaves out."""
    one, two = _read(monkeypatch, [ONE, TWO]).servers
    assert (one.name, one.model, one.weight, one.priority) == ("one", "small", 3.0, 1)
    assert one.api_key is not None
    assert one.api_key.get_secret_value() == "sk-secret-1"
    assert (two.name, two.base_url, two.weight, two.priority) == ("two", None, 1.0, 2)


def test_json_may_be_indented_by_tabs(monkeypatch: pytest.MonkeyPatch) -> None:
    """As some editors do."""
    assert len(_read(monkeypatch, json.dumps([ONE, TWO], indent="\t")).servers) == 2


def test_a_file_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """YAML or JSON, with keys taken from variables that the entries name."""
    file = tmp_path / "endpoints.yaml"
    file.write_text("- {name: one, model: small, api_key_env: ONE_KEY}\n- {name: two, model: large}\n")
    monkeypatch.setenv("ONE_KEY", "sk-secret-2")
    one, _ = _read(monkeypatch, str(file)).servers
    assert one.api_key is not None
    assert one.api_key.get_secret_value() == "sk-secret-2"


def test_one_endpoint_needs_no_list(monkeypatch: pytest.MonkeyPatch) -> None:
    """Model, base URL and key alone are one endpoint; without a model there is none."""
    monkeypatch.setenv("PINCITE_LLM_MODEL", "small")
    monkeypatch.setenv("PINCITE_LLM_BASE_URL", "http://one/v1")
    [only] = Settings().llm.servers
    assert (only.name, only.model, only.base_url) == ("default", "small", "http://one/v1")
    monkeypatch.delenv("PINCITE_LLM_MODEL")
    assert Settings().llm.servers == ()


@pytest.mark.parametrize(
    ("endpoints", "complaint"),
    [
        ([ONE, {**TWO, "weight": 0}], "endpoint 'two': weight: "),
        ([{"model": "small"}], "endpoint 1: name: "),
        ([ONE, {**TWO, "colour": "red"}], "endpoint 'two': colour: "),
        ([ONE, {**TWO, "name": "one"}], "endpoint 'one': there are two of that name"),
        ([{**TWO, "api_key_env": "NO_SUCH_KEY"}], "endpoint 'two': api_key_env: NO_SUCH_KEY is not set"),
        ([{**ONE, "api_key_env": "NO_SUCH_KEY"}], "endpoint 'one': has both"),
        ([{**TWO, "azure_api_version": "2026-01-01"}], "endpoint 'two': azure_api_version needs"),
        ([], "at least one"),
        ({"name": "one"}, "must be a list"),
        ("[{", "neither JSON nor YAML"),
        ("/no/such/file", "/no/such/file: No such file"),
        ([5], "endpoint 1: "),
    ],
)
def test_what_is_wrong_names_its_entry(monkeypatch: pytest.MonkeyPatch, endpoints: Any, complaint: str) -> None:
    """An operator is told which endpoint to mend, and no key is told to anybody, the traceback included."""
    with pytest.raises(InvalidSettings) as caught:
        _read(monkeypatch, endpoints)
    assert complaint in str(caught.value)
    assert "endpoints" in str(caught.value)
    assert "sk-secret" not in "".join(traceback.format_exception(caught.value))


def test_two_ways_at_once_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model besides a list of endpoints would be asked by nobody."""
    monkeypatch.setenv("PINCITE_LLM_MODEL", "small")
    with pytest.raises(InvalidSettings, match="PINCITE_LLM_ENDPOINTS"):
        _read(monkeypatch, [ONE])


def test_no_key_is_ever_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not in the settings' own text, nor in what can be made of them."""
    settings = _read(monkeypatch, [ONE])
    assert "sk-secret" not in f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()}"
