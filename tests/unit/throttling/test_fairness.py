"""The places of one worker: how many a tenant may have, and what stays for others."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.domain.fairness import may_take, most_more


def taken(tenants: int, places: int) -> list[int]:
    """Places of each when all take whatever they may, in turn."""
    has = [0] * tenants
    while any(may_take(each, sum(has), places) for each in has):
        for number, each in enumerate(has):
            has[number] += may_take(each, sum(has), places)
    return has


@pytest.mark.parametrize("places", [8, 16, 64, 1_000])
@pytest.mark.parametrize("tenants", [1, 2, 5])
def test_however_much_they_want_a_newcomer_finds_a_place_and_all_have_equally_many(tenants: int, places: int) -> None:
    has = taken(tenants, places)
    assert may_take(0, sum(has), places) or places < 8 * tenants
    assert max(has) - min(has) <= 1


@pytest.mark.parametrize("places", range(1, 8))
def test_of_a_few_places_one_may_have_all(places: int) -> None:
    assert taken(1, places) == [places]


def test_alone_one_may_have_seven_of_eight() -> None:
    assert taken(1, 64) == [56]


@given(st.integers(0, 100), st.integers(0, 100), st.integers(1, 100))
def test_what_may_be_taken_at_once_is_what_may_be_taken_one_by_one(has: int, others: int, places: int) -> None:
    used, more = has + others, 0
    if used <= places:
        while may_take(has + more, used + more, places):
            more += 1
        assert most_more(has, used, places) == more
