"""Where language models are asked: each endpoint's settings, read from JSON or a file."""

import os
import re
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator
from pydantic_core import PydanticCustomError

_INLINE = re.compile(r"\s*[\[{]|\s*-\s|.*\n", re.DOTALL)
"""How a list begins that stands in the setting itself; anything else is a path."""
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")


class Price(BaseModel):
    """What a million tokens cost, in USD."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    input: Decimal = Field(ge=0, le=1_000_000, decimal_places=9, allow_inf_nan=False)
    output: Decimal = Field(ge=0, le=1_000_000, decimal_places=9, allow_inf_nan=False)


class EndpointSettings(BaseModel):
    """One OpenAI-compatible endpoint: a server, a key and a model. Its `name` is shown with answers; its key never.

    Lower `priority` is asked first; those of one priority are asked in proportion to their `weight`. What is unset
    is as in `LlmSettings`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$")
    model: str = Field(min_length=1, description="The model's name; on Azure the deployment's")
    base_url: str | None = Field(None, description="Unset: OpenAI's")
    api_key: SecretStr | None = None
    api_key_env: str | None = Field(None, exclude=True, description="The environment variable that holds the key")
    azure_api_version: str | None = Field(None, description="Set: `base_url` is an Azure resource's")
    weight: float = Field(1.0, gt=0, allow_inf_nan=False)
    priority: int = Field(1, ge=1)
    concurrency: int | None = Field(None, ge=1)
    max_context_tokens: int | None = Field(None, ge=200)
    context_window: int | None = Field(None, ge=512)
    price: Price | None = Field(None, description="Unset: the model's, by the list of prices")

    @model_validator(mode="before")
    @classmethod
    def _with_key_from_environment(cls, entry: object) -> object:
        if not isinstance(entry, dict) or not isinstance(variable := entry.get("api_key_env"), str):
            return entry
        if entry.get("api_key"):
            raise PydanticCustomError("two_keys", "has both api_key and api_key_env")
        if not os.environ.get(variable):
            # What is no variable's name may be the key itself.
            named = variable if _VARIABLE.fullmatch(variable) else "the variable that it names"
            raise PydanticCustomError("no_key", "api_key_env: {variable} is not set", {"variable": named})
        return {**entry, "api_key": os.environ[variable]}

    @model_validator(mode="after")
    def _azure_has_a_resource(self) -> Self:
        if self.azure_api_version and not self.base_url:
            raise PydanticCustomError("no_resource", "azure_api_version needs the resource's base_url")
        return self

    @property
    def provider(self) -> str:
        """Whose server it is, in the words of OpenTelemetry's conventions."""
        if self.azure_api_version:
            return "azure.ai.openai"
        return "openai" if self.is_openai else "openai_compatible"

    @property
    def is_openai(self) -> bool:
        """OpenAI itself or Azure: their reasoning models take no `max_tokens` and no temperature."""
        openai = self.base_url is None or self.base_url.startswith("https://api.openai.com/")
        return openai or self.azure_api_version is not None


def read_endpoints(given: object) -> tuple[EndpointSettings, ...] | None:
    """The endpoints in a JSON or YAML list, in a file, or in a list of entries.

    Whatever is wrong names its entry, and never says what is written there: it may hold keys.
    """
    entries = _parsed(given) if isinstance(given, str) else given
    if entries is None:
        return None
    if not isinstance(entries, Sequence) or not entries:
        raise PydanticCustomError("no_list", "must be a list with at least one endpoint")
    endpoints = tuple(_endpoint(number, entry) for number, entry in enumerate(entries, 1))
    names = [endpoint.name for endpoint in endpoints]
    for name in names:
        if names.count(name) > 1:
            raise PydanticCustomError("same_name", "endpoint '{name}': there are two of that name", {"name": name})
    return endpoints


def _parsed(given: str) -> object:
    text = _bare(given)
    try:
        written = text if _INLINE.match(text) else Path(text).read_text("utf-8-sig")
        # A tab between two tokens is JSON and not YAML.
        return yaml.safe_load(written.replace("\t", " "))
    except OSError as error:
        reason = {"reason": error.strerror or "unreadable"}
        raise PydanticCustomError("no_file", "is no list and no file that can be read: {reason}", reason) from None
    except (yaml.YAMLError, ValueError, RecursionError):
        raise PydanticCustomError("no_json", "is neither JSON nor YAML") from None


def _bare(text: str) -> str:
    """Without the quotes that `docker --env-file` keeps, and the byte order mark of some editors."""
    text = text.strip("\ufeff").strip()
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "'\""
    return text[1:-1].strip("\ufeff") if quoted else text


def _endpoint(number: int, entry: object) -> EndpointSettings:
    if isinstance(entry, EndpointSettings):
        return entry
    name = entry.get("name") if isinstance(entry, dict) else None
    try:
        return EndpointSettings.model_validate(entry)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        field = ".".join(map(str, first["loc"]))
        problem = {
            "which": f"endpoint '{name}'" if isinstance(name, str) and name else f"endpoint {number}",
            "what": f"{field}: {first['msg']}" if field else first["msg"],
        }
        raise PydanticCustomError("bad_endpoint", "{which}: {what}", problem) from None
