"""What a call of a model costs, by whose table, and what it can cost at most."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.domain.models.answer import Usage
from fairlead.domain.models.anthropic_answer import read_usage
from fairlead.domain.prices import PriceIndex, PriceTable, PriceUnknown, Rates, Tier, price_of
from tests.support.clock import T0

LATER = T0 + timedelta(days=10)


def rates(model: str = "m-1", **changes: Any) -> Rates:
    complete: dict[str, Any] = {"provider": "acme", "valid_from": T0, "input": 2_000_000, "output": 8_000_000}
    return Rates(model=model, **complete | changes)


def table(version: str, *of: Rates) -> PriceTable:
    return PriceTable(version=version, rates=of)


def test_each_kind_of_token_has_its_rate_and_the_call_its_fee() -> None:
    priced = rates(cached_input=500_000, cache_write=3_000_000, reasoning=9_000_000, call=7)
    usage = Usage(
        input_tokens=100, cached_input_tokens=40, cache_write_tokens=10, output_tokens=30, reasoning_tokens=20
    )
    assert priced.cost(usage) == 50 * 2 + 20 + 30 + 10 * 8 + 20 * 9 + 7


def test_what_nothing_is_said_of_costs_like_the_rest_of_its_side() -> None:
    usage = Usage(input_tokens=3, cached_input_tokens=1, cache_write_tokens=1, output_tokens=2, reasoning_tokens=1)
    assert rates().cost(usage) == 3 * 2 + 2 * 8


def test_a_part_of_a_millionth_is_a_whole_one() -> None:
    assert rates(input=1, output=0).cost(Usage(input_tokens=1)) == 1
    assert rates(input=0, output=0).cost(Usage(input_tokens=1)) == 0


def test_a_tenants_own_price_comes_before_the_shipped_one() -> None:
    own, shipped = table("own-1", rates(input=1)), table("shipped-9", rates(), rates("m-2"))
    assert price_of([own, shipped], "acme", "m-1", T0).version == "own-1"
    assert price_of([own, shipped], "acme", "m-2", T0).version == "shipped-9"


def test_the_price_of_a_day_is_the_one_that_held_then() -> None:
    both = table("v", rates(input=1), rates(input=2, valid_from=LATER))
    assert price_of([both], "acme", "m-1", LATER - timedelta(microseconds=1)).rates.input == 1
    assert price_of([both], "acme", "m-1", LATER).rates.input == 2


def test_a_full_name_comes_before_the_beginning_of_one() -> None:
    named = table("v", rates("m-*", input=1), rates("m-1*", input=2), rates("m-1", input=3))
    assert [price_of([named], "acme", name, T0).rates.input for name in ("m-1", "m-1-mini", "m-7")] == [3, 2, 1]


def test_digits_left_open_are_digits_and_as_many() -> None:
    dated = table("v", rates("m-1-########"), rates("m-1-*", input=9), rates("M-1-20260101", input=3))
    wanted = {"m-1-20250101": 2_000_000, "m-1-2025010": 9, "m-1-2025x101": 9, "m-1-202501011": 9, "m-1-20260101": 3}
    assert {name: price_of([dated], "acme", name, T0).rates.input for name in wanted} == wanted


def test_every_token_of_a_long_call_has_the_rate_of_its_tier() -> None:
    long = Tier(above=100, input=4_000_000, output=12_000_000, cached_input=1_000_000)
    longer = Tier(above=200, input=6_000_000, output=14_000_000)
    priced = rates(tiers=(longer, long), call=5)
    assert priced.cost(Usage(input_tokens=100, output_tokens=10)) == 100 * 2 + 10 * 8 + 5
    assert priced.cost(Usage(input_tokens=101, cached_input_tokens=1, output_tokens=10)) == 100 * 4 + 1 + 10 * 12 + 5
    assert priced.cost(Usage(input_tokens=201, output_tokens=1)) == 201 * 6 + 14 + 5
    assert priced.bound(100, 1) == 100 * 2 + 8 + 5
    assert priced.bound(101, 1) == 101 * 4 + 12 + 5


def test_what_a_cache_keeps_for_an_hour_has_a_rate_of_its_own() -> None:
    usage = Usage(input_tokens=10, cache_write_tokens=6, long_cache_write_tokens=4)
    assert rates(cache_write=3_000_000, long_cache_write=5_000_000).cost(usage) == 4 * 2 + 2 * 3 + 4 * 5
    assert rates(cache_write=3_000_000).cost(usage) == 4 * 2 + 6 * 3
    said = {"input_tokens": 4, "cache_creation_input_tokens": 6, "cache_creation": {"ephemeral_1h_input_tokens": 4}}
    assert read_usage(said).long_cache_write_tokens == 4


def test_an_index_says_what_its_table_says() -> None:
    both = table("v", rates("m-*"), rates("m-1", input=7), rates("m-1", input=9, provider="other"))
    index = PriceIndex(both)
    for provider, model in (("acme", "m-1"), ("acme", "m-9"), ("other", "m-1"), ("other", "m-9"), ("third", "m-1")):
        assert index.rates_of(provider, model, T0) == both.rates_of(provider, model, T0)


@pytest.mark.parametrize(("provider", "model", "early"), [("acme", "m-2", 0), ("other", "m-1", 0), ("acme", "m-1", 1)])
def test_what_nobody_knows_the_price_of_is_refused_and_never_free(provider: str, model: str, early: int) -> None:
    with pytest.raises(PriceUnknown):
        price_of([table("v", rates())], provider, model, T0 - timedelta(seconds=early))


tokens, rate = st.integers(0, 100_000), st.integers(0, 10**9)
optional = st.none() | rate


@settings(max_examples=200, deadline=None)
@given(
    size=tokens,
    cached=st.integers(0, 100),
    written=st.integers(0, 100),
    most=tokens,
    thought=st.integers(0, 100),
    prices=st.tuples(rate, rate, optional, optional, optional),
)
def test_no_call_costs_more_than_what_was_reserved_for_it(
    size: int, cached: int, written: int, most: int, thought: int, prices: tuple[Any, ...]
) -> None:
    given_in, given_out, of_cached, of_written, of_thought = prices
    priced = rates(
        input=given_in, output=given_out, cached_input=of_cached, cache_write=of_written, reasoning=of_thought
    )
    from_cache = size * cached // 100
    usage = Usage(
        input_tokens=size,
        cached_input_tokens=from_cache,
        cache_write_tokens=(size - from_cache) * written // 100,
        output_tokens=most,
        reasoning_tokens=most * thought // 100,
    )
    assert priced.cost(usage) <= priced.bound(size, most)
