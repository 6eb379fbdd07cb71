"""How a group of settings is read, and what is said where it cannot be."""

from typing import TypeVar

from pydantic import ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from retrieval.errors import InvalidSettings

Group = TypeVar("Group", bound=BaseSettings)


def group(prefix: str) -> SettingsConfigDict:
    """How the settings whose names begin so are read."""
    return SettingsConfigDict(
        env_prefix=prefix,
        env_file=".env",
        extra="ignore",
        frozen=True,
        env_ignore_empty=True,
        hide_input_in_errors=True,  # a traceback must not show a key
        allow_inf_nan=False,  # nan passes every bound, and no number of seconds or weight is infinite
    )


def read_group(wanted: type[Group]) -> Group:
    """One group, read from the environment. Raises `InvalidSettings`, naming the setting."""
    try:
        return wanted()
    except ValidationError as error:
        raise InvalidSettings(_explain(error)) from error


def _explain(error: ValidationError) -> str:
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"])
    return f"setting {error.title}.{name}: {first['msg']}"
