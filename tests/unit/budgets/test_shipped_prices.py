"""The price table that ships: what it takes from its source, and that nothing in it is free."""

from datetime import UTC, datetime

import pytest

from fairlead.adapters.shipped_prices import SELLERS, shipped_prices
from fairlead.domain.models.answer import Usage
from fairlead.domain.prices import PriceUnknown, price_of
from tests.support import price_data

NOW = datetime(2026, 11, 1, tzinfo=UTC)


def test_it_is_what_its_source_says() -> None:
    assert price_data.table() == shipped_prices(), "make prices"


def test_only_recorded_answers_cost_nothing() -> None:
    table = shipped_prices()
    free = {rates.provider for rates in table.rates if not (rates.input or rates.output or rates.call)}
    assert free == {"recorded"}
    recorded = price_of([table], "recorded", "whatever", NOW).rates
    assert recorded.cost(Usage(input_tokens=10**6, output_tokens=10**6)) == 0


def test_every_seller_sells_something() -> None:
    assert set(SELLERS.values()) == {rates.provider for rates in shipped_prices().rates} - {"recorded"}


def test_a_dated_name_costs_what_its_model_does() -> None:
    plain = price_of([shipped_prices()], "openai", "gpt-5-mini", NOW).rates
    dated = price_of([shipped_prices()], "openai", "gpt-5-mini-2025-08-07", NOW).rates
    assert (dated.input, dated.output) == (plain.input, plain.output) == (250_000, 2_000_000)


@pytest.mark.parametrize(
    ("provider", "model"),
    [("openai", "gpt-5-minimal"), ("openai", "gpt-99"), ("anthropic", "gpt-5"), ("openai_compatible", "gpt-5")],
)
def test_what_the_source_does_not_know_is_refused(provider: str, model: str) -> None:
    with pytest.raises(PriceUnknown):
        price_of([shipped_prices()], provider, model, NOW)
