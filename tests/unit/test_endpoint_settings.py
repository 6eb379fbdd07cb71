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


@pytest.mark.parametrize("around", ["'{}'", '"{}"', " '{}' ", "\ufeff{}", "\ufeff'{}'", "\n{}\n"])
def test_what_surrounds_the_list_does_no_harm(monkeypatch: pytest.MonkeyPatch, around: str) -> None:
    """Quotes that `docker --env-file` keeps, a byte order mark, blanks."""
    assert len(_read(monkeypatch, around.format(json.dumps([ONE, TWO]))).servers) == 2


def test_the_list_may_be_yaml(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In the setting itself as in a file, with a byte order mark or without."""
    written = "- name: one\n  model: small\n- {name: two, model: large}\n"
    assert len(_read(monkeypatch, written).servers) == 2
    file = tmp_path / "endpoints.yaml"
    file.write_text(written, "utf-8-sig")
    assert len(_read(monkeypatch, f'"{file}"').servers) == 2


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
        ([ONE, {**TWO, "tier": "large"}], "endpoint 'one': has no tier, others have"),
        ([ONE, {**TWO, "tier": "huge"}], "endpoint 'two': tier: "),
        ([{**TWO, "json_schema": "maybe"}], "endpoint 'two': json_schema: "),
        ([], "at least one"),
        ({"name": "one"}, "must be a list"),
        ("[{", "neither JSON nor YAML"),
        ("/no/such/file", "no file that can be read: No such file"),
        ("sk-secret-3", "no file that can be read"),
        ("{name: one, api_key: sk-secret-3}", "must be a list"),
        ("name: one\napi_key: sk-secret-3", "must be a list"),
        (f"api_key: {'sk-secret' * 99}", "no file that can be read"),
        ("[" * 5000 + "sk-secret", "neither JSON nor YAML"),
        ("- {name: one, api_key: 'sk-secret-3", "neither JSON nor YAML"),
        ([{**TWO, "api_key_env": "sk-secret-3"}], "endpoint 'two': api_key_env: the variable that it names is not set"),
        ([{**TWO, "name": {"api_key": "sk-secret-3"}}], "endpoint 1: name: "),
        ('[{"name": "one", "model": "small", "weight": Infinity}]', "endpoint 'one': weight: "),
        ("[{name: one, model: small, weight: .inf}]", "endpoint 'one': weight: "),
        ("[{name: one, model: small, weight: .nan}]", "endpoint 'one': weight: "),
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


@pytest.mark.parametrize("name", ["MODEL", "BASE_URL", "API_KEY"])
def test_two_ways_at_once_are_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """What describes one endpoint would, besides a list of them, be dropped without a word."""
    monkeypatch.setenv(f"PINCITE_LLM_{name}", "sk-secret-4")
    with pytest.raises(InvalidSettings, match=f"PINCITE_LLM_{name} .*PINCITE_LLM_ENDPOINTS") as caught:
        _read(monkeypatch, [ONE])
    assert "sk-secret" not in "".join(traceback.format_exception(caught.value))


def test_no_key_is_ever_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not in the settings' own text, nor in what can be made of them."""
    settings = _read(monkeypatch, [ONE])
    assert "sk-secret" not in f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()}"
