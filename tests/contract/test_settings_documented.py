"""`.env.example` is the settings' documentation, so it says what `retrieval/settings/` says."""

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from retrieval import settings

ROOT = Path(__file__).parents[2]
EXAMPLE = (ROOT / ".env.example").read_text(encoding="utf-8")
# A comment that says what it means, then the setting, commented out, at its default.
ENTRY = re.compile(r"^# (?P<meaning>.+)\n#(?P<name>[A-Z_]+)=(?P<default>.*)$", re.MULTILINE)


def _groups() -> list[type[BaseSettings]]:
    classes = [value for value in vars(settings).values() if inspect.isclass(value)]
    return [found for found in classes if issubclass(found, BaseSettings) and found is not BaseSettings]


def _fields() -> Iterator[tuple[str, FieldInfo]]:
    for group in _groups():
        prefix = group.model_config["env_prefix"]
        yield from ((f"{prefix}{name}".upper(), field) for name, field in group.model_fields.items())


def _written(default: object) -> str:
    """A default as one would write it in the environment."""
    if default is None:
        return ""
    return str(default).lower() if isinstance(default, bool) else str(default)


SETTINGS = dict(_fields())
DOCUMENTED = {entry["name"]: entry for entry in ENTRY.finditer(EXAMPLE)}


@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_is_documented_with_its_meaning_and_default(name: str) -> None:
    """Every setting stands in `.env.example`, under its description, commented out at its default."""
    expected = f"# {SETTINGS[name].description}\n#{name}={_written(SETTINGS[name].default)}"
    found = DOCUMENTED.get(name)
    assert (found.group(0) if found else "nothing") == expected


def test_nothing_is_documented_that_is_no_setting() -> None:
    """A name in `.env.example` is a setting, or a value that docker-compose.yml asks for."""
    compose = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    asked_for = set(re.findall(r"\$\{([A-Z_]+)", compose))
    named = set(re.findall(r"^#?([A-Z][A-Z_]+)=", EXAMPLE, re.MULTILINE))
    assert named == set(SETTINGS) | asked_for


def test_every_setting_says_what_it_means() -> None:
    """No setting is without a description: it is the line an operator reads."""
    assert [name for name, field in SETTINGS.items() if not field.description] == []
