"""What models cost. Amounts are whole nano-USD, each call's cost rounded up: sums are exact."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from fnmatch import fnmatchcase
from functools import cache
from importlib import resources
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from retrieval.domain import Usage
from retrieval.endpoints import EndpointSettings, Price
from retrieval.errors import InputError, InvalidSettings

NANO = 10**9
_MILLION = 10**6


class _Entry(Price):
    model: str


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    as_of: date
    models: tuple[_Entry, ...]


@dataclass(frozen=True, slots=True)
class Prices:
    """The prices of models by the patterns that their names fit, in order."""

    entries: Mapping[str, Price]

    def of(self, endpoint: EndpointSettings) -> Price | None:
        """The endpoint's own price, else its model's; None where neither is known."""
        if endpoint.price is not None:
            return endpoint.price
        name = endpoint.model.lower()
        last = name.rpartition("/")[2]
        fitting = (price for pattern, price in self.entries.items() if _fits(pattern, name, last))
        return next(fitting, None)


def load_prices(own: Path | None) -> Prices:
    """The prices that come with Pincite, after those in the file `own`. Raises `InvalidSettings`."""
    shipped = _shipped()
    if own is None:
        return Prices(shipped)
    try:
        mine = _entries(own.read_text("utf-8"))
    except OSError as error:
        raise InvalidSettings(f"PINCITE_SPENDING_PRICES: {error.strerror or 'unreadable'}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidSettings(f"PINCITE_SPENDING_PRICES: is not TOML: {error}") from error
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise InvalidSettings(f"PINCITE_SPENDING_PRICES: {place}: {first['msg']}") from error
    return Prices(mine | {pattern: price for pattern, price in shipped.items() if pattern not in mine})


def cost(price: Price | None, usage: Usage) -> int:
    """Nano-USD, rounded up; 0 without a price."""
    if price is None:
        return 0
    whole = usage.prompt_tokens * nano(price.input) + usage.completion_tokens * nano(price.output)
    return -(-whole // _MILLION)


def affordable_output(price: Price | None, prompt_tokens: int, nano_usd: int, wanted: int) -> int:
    """Most completion tokens, up to `wanted`, that cost no more than `nano_usd` with this prompt; below 0: none."""
    if price is None:
        return wanted
    left = nano_usd * _MILLION - prompt_tokens * nano(price.input)
    if left < 0 or price.output == 0:
        return wanted if left >= 0 else -1
    return min(wanted, left // nano(price.output))


def nano(usd: Decimal) -> int:
    """Whole nano-USD of an amount; what is smaller is cut off."""
    return int(usd * NANO)


def read_usd(text: str) -> int:
    """The nano-USD of an amount as a person writes it. Raises `InputError`."""
    try:
        whole = Decimal(text) * NANO
    except InvalidOperation as error:
        raise InputError(f"not an amount in USD: {text!r}") from error
    if not whole.is_finite() or whole != whole.to_integral_value():
        raise InputError(f"not an amount in USD, down to nine digits after the point: {text!r}")
    return int(whole)


def usd(nano_usd: int) -> Decimal:
    """The exact amount."""
    return Decimal(nano_usd) / NANO


def _fits(pattern: str, name: str, last: str) -> bool:
    return fnmatchcase(name, pattern) or fnmatchcase(last, pattern)


@cache
def _shipped() -> dict[str, Price]:
    return _entries(resources.files("retrieval.spending").joinpath("prices.toml").read_text("utf-8"))


def _entries(text: str) -> dict[str, Price]:
    found: dict[str, Price] = {}
    for entry in _File.model_validate(tomllib.loads(text, parse_float=Decimal)).models:
        found.setdefault(entry.model.lower(), Price(input=entry.input, output=entry.output))
    return found
