"""Prices: the first pattern that fits, exact amounts, and files that are wrong."""

from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval.domain import Usage
from retrieval.endpoints import EndpointSettings, Price
from retrieval.errors import InputError, InvalidSettings
from retrieval.spending.prices import affordable_output, cost, load_prices, read_usd, usd

_USD = st.decimals(min_value=0, max_value=1000, places=9)
_TOKENS = st.integers(0, 10**6)


def endpoint(model: str, **more: object) -> EndpointSettings:
    return EndpointSettings.model_validate({"name": "e", "model": model, **more})


@pytest.mark.parametrize(
    ("model", "output"),
    [
        ("gpt-5-mini", "2.00"),
        ("gpt-5-mini-2025-08-07", "2.00"),
        ("openai/GPT-5-mini", "2.00"),
        ("gpt-5", "10.00"),
        ("gpt-5.4-mini", "4.50"),
        ("gpt-5.4", "15.00"),
        ("claude-sonnet-5", "10.00"),
    ],
)
def test_a_models_price_is_that_of_the_first_pattern_its_name_fits(model: str, output: str) -> None:
    """Dated names and names with a provider before them are the model's; a small model is not its big sister."""
    price = load_prices(None).of(endpoint(model))
    assert price is not None
    assert price.output == Decimal(output)


@pytest.mark.parametrize("model", ["qwen3-8b", "my-deployment", "gpt-50"])
def test_a_model_nobody_knows_has_no_price(model: str) -> None:
    """It is not guessed."""
    assert load_prices(None).of(endpoint(model)) is None


def test_an_endpoints_own_price_goes_before_the_list() -> None:
    """An operator knows what is paid there; in JSON and YAML it may be a number or text."""
    own = endpoint("gpt-5-mini", price={"input": 0.1, "output": "0.3"})
    assert load_prices(None).of(own) == Price(input=Decimal("0.1"), output=Decimal("0.3"))


def test_a_file_of_ones_own_goes_before_what_is_shipped(tmp_path: Path) -> None:
    """Its patterns are tried first, a star among them is everybody's fallback, and floats are read as written."""
    file = tmp_path / "prices.toml"
    file.write_text('as_of = 2026-01-01\nmodels = [{ model = "gpt-5-mini*", input = 0.1, output = 0.3 }]')
    prices = load_prices(file)
    assert prices.of(endpoint("gpt-5-mini")) == Price(input=Decimal("0.1"), output=Decimal("0.3"))
    assert prices.of(endpoint("gpt-5-nano")) == load_prices(None).of(endpoint("gpt-5-nano"))
    file.write_text('as_of = 2026-01-01\nmodels = [{ model = "*", input = 1, output = 2 }]')
    assert load_prices(file).of(endpoint("qwen3-8b")) == Price(input=Decimal(1), output=Decimal(2))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("not toml", "TOML"),
        ('as_of = 2026-01-01\nmodels = [{ model = "m", input = -1, output = 0 }]', "models.0.input"),
        ('as_of = 2026-01-01\nmodels = [{ model = "m", input = nan, output = 0 }]', "models.0.input"),
        ('models = [{ model = "m", input = 1, output = 0 }]', "as_of"),
        ('as_of = 2026-01-01\nmodels = [{ model = "m", input = 1 }]', "models.0.output"),
    ],
)
def test_a_wrong_file_is_refused_at_the_start(tmp_path: Path, text: str, said: str) -> None:
    """The message names the setting and the place."""
    file = tmp_path / "prices.toml"
    file.write_text(text)
    with pytest.raises(InvalidSettings, match=f"PINCITE_SPENDING_PRICES.*{said}"):
        load_prices(file)
    with pytest.raises(InvalidSettings, match="No such file"):
        load_prices(tmp_path / "missing.toml")


@given(dearer=_USD, cheaper=_USD, prompt=_TOKENS, left=st.integers(0, 10**12), wanted=st.integers(1, 5000))
def test_what_is_affordable_costs_no_more_than_there_is(
    dearer: Decimal, cheaper: Decimal, prompt: int, left: int, wanted: int
) -> None:
    """And one token more would, unless no more are wanted."""
    price = Price(input=cheaper, output=dearer)
    output = affordable_output(price, prompt, left, wanted)

    def costs(completion: int) -> int:
        return cost(price, Usage(prompt_tokens=prompt, completion_tokens=completion, estimated=False))

    assert output <= wanted
    assert output < 0 or costs(output) <= left
    assert output == wanted or costs(max(output + 1, 0)) > left


@given(st.integers(0, 10**15))
def test_an_amount_is_written_and_read_without_loss(nano_usd: int) -> None:
    """To the last nano-USD."""
    assert read_usd(f"{usd(nano_usd):f}") == nano_usd


@pytest.mark.parametrize("text", ["", "five", "nan", "inf", "0.0000000001", "1,5"])
def test_what_is_no_amount_is_refused(text: str) -> None:
    """Nor is less than a nano-USD one."""
    with pytest.raises(InputError):
        read_usd(text)
