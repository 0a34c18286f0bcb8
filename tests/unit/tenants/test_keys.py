"""Text of API keys, their making and their recognition; identifiers and clock of the system."""

from datetime import UTC, timedelta

import pytest
from fairlead_tenants.ids import BASE32, TenantId, base32
from fairlead_tenants.keys import KEY_LENGTH, key_hash, key_text, parse_key
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.adapters.api_keys import ApiKeys
from fairlead.adapters.clock import SystemClock
from fairlead.adapters.ids import UuidIds
from fairlead.ports import Clock, Ids
from tests.support.clock import ManualClock
from tests.support.ids import SequentialIds

PEPPER = bytes(range(32))
TENANT = TenantId("tnt_" + "0" * 25 + "7")
KEY = key_text("live", TENANT, "Ab1" * 14 + "Z")


def test_a_key_tells_its_tenant_and_environment_before_anything_is_looked_up() -> None:
    parsed = parse_key(KEY)
    assert parsed is not None
    assert (parsed.tenant_id, parsed.environment_kind, parsed.last_four) == (TENANT, "live", KEY[-4:])


def test_what_is_parsed_from_a_key_does_not_hold_its_secret() -> None:
    assert "Ab1Ab1" not in repr(parse_key(KEY))


@pytest.mark.parametrize(
    "text",
    [
        "",
        KEY[:-1],
        KEY + "0",
        KEY.replace("flk_", "flx_"),
        KEY.replace("live", "prod"),
        KEY.replace("Ab1", "Ab2", 1),
        KEY.upper(),
        f" {KEY[1:]}",
        KEY.replace("Z_", "\u0416_"),
        KEY.replace("Ab1", "A_1", 1),
        "_" * KEY_LENGTH,
    ],
)
def test_text_that_is_not_exactly_a_key_is_no_key(text: str) -> None:
    assert parse_key(text) is None


@pytest.mark.parametrize("place", range(KEY_LENGTH))
def test_a_change_of_any_one_character_is_noticed(place: int) -> None:
    other = "1" if KEY[place] != "1" else "2"
    assert parse_key(KEY[:place] + other + KEY[place + 1 :]) is None


@given(st.text(max_size=2 * KEY_LENGTH))
@settings(max_examples=200)
def test_no_text_makes_the_parser_fail(text: str) -> None:
    assert parse_key(text) is None


def test_a_made_key_is_recognised_with_the_hash_it_was_stored_under() -> None:
    keys = ApiKeys(PEPPER)
    made = keys.new("test", TENANT)
    presented = keys.recognise(made.text)
    assert presented is not None
    assert presented.hash == made.hash == key_hash(made.text, PEPPER)
    assert presented.parsed.last_four == made.last_four


def test_no_two_keys_are_alike_and_the_text_stays_out_of_the_repr() -> None:
    keys = ApiKeys(PEPPER)
    made = [keys.new("live", TENANT) for _ in range(50)]
    assert len({key.text for key in made}) == 50
    assert made[0].text not in repr(made[0])


def test_another_pepper_gives_another_hash_and_a_short_pepper_is_refused() -> None:
    assert key_hash(KEY, PEPPER) != key_hash(KEY, bytes(32))
    with pytest.raises(ValueError, match="32 bytes"):
        ApiKeys(bytes(31))


@given(st.integers(0, 2**35 - 1), st.integers(7, 26))
def test_base32_has_as_many_digits_as_asked_and_says_the_number(number: int, length: int) -> None:
    text = base32(number, length)
    assert len(text) == length
    assert sum(BASE32.index(digit) * 32**place for place, digit in enumerate(reversed(text))) == number


@given(st.integers(0, 2**130 - 1), st.integers(0, 2**130 - 1))
def test_base32_sorts_like_the_numbers_it_writes(one: int, other: int) -> None:
    assert (base32(one, 26) < base32(other, 26)) == (one < other)


@pytest.mark.parametrize("ids", [UuidIds(), SequentialIds()], ids=["uuid", "sequential"])
def test_identifiers_are_prefixed_unique_and_in_order(ids: Ids) -> None:
    made = [ids.new("run") for _ in range(1000)]
    assert made == sorted(set(made))
    assert all(name.startswith("run_") and len(name) == 30 and not name[4:].strip(BASE32) for name in made)


@pytest.mark.parametrize("clock", [SystemClock(), ManualClock()], ids=["system", "manual"])
def test_clocks_give_utc(clock: Clock) -> None:
    assert clock.now().tzinfo is UTC


def test_the_manual_clock_moves_when_told() -> None:
    clock = ManualClock()
    before = clock.now()
    clock.forward(timedelta(days=2))
    assert clock.now() - before == timedelta(days=2)
