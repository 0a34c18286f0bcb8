"""One value, one form, one hash."""

import json
from typing import Any

import pytest
import rfc8785
from fairlead_ledger.canonical import NotCanonical, canonical, content_sha256, parse
from fairlead_ledger.leaves import Place, event_hash, leaf_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip
PLACE = Place(0, 7, "tnt_a", "run", "run_1", "cmd_1")


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine is no fault
@given(JSON)
def test_the_swift_way_writes_what_the_standard_says(value: Any) -> None:
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False)):
        for to_hash in (False, True):
            found, plain = parse(text, to_hash=to_hash)
            assert canonical(found, plain=plain) == rfc8785.dumps(value)


NUMBERS = (
    st.floats(allow_nan=False, allow_infinity=False)
    | st.integers(-(2**60), 2**60).map(float)
    | st.builds(lambda digits, exponent: digits * 10.0**exponent, st.integers(-999, 999), st.integers(-12, 22))
    | st.sampled_from([0.0, -0.0, 1e-4, 9.999e-5, 1e-5, 1e15 + 0.5, 1e16, 1e21, 2.0**53, 2.0**53 - 1, -(2.0**53), 0.1])
)


@settings(deadline=None, max_examples=500)
@given(NUMBERS)
def test_a_number_is_hashed_as_the_standard_writes_it(number: float) -> None:
    found, plain = parse(repr(number), to_hash=True)
    assert canonical(found, plain=plain) == rfc8785.dumps(number)
    assert type(parse(repr(number)).value) is float, "whoever reads is given what was written"


def test_whole_and_simple_broken_numbers_take_the_swift_way() -> None:
    assert parse('{"timeout_s":10.0,"factor":0.25,"zero":-0.0}', to_hash=True) == (
        {"timeout_s": 10, "factor": 0.25, "zero": 0},
        True,
    )
    assert not parse('{"tiny":1e-7}', to_hash=True).plain


@pytest.mark.parametrize(
    "text",
    ['{"a":1,"a":2}', '{"a":NaN}', "[Infinity]", "[1e999]", "{", '"\\ud800"', "", "[" * 100_000, b"\xff", "1" * 5000],
    ids=lambda text: str(text)[:12],
)
def test_what_two_readers_might_read_differently_is_refused(text: str | bytes) -> None:
    with pytest.raises(NotCanonical):
        event_hash(text)


def test_long_integers_keep_all_their_digits() -> None:
    assert canonical({"b": [2**63, 0.5], "a": -(2**70)}) == b'{"a":-%d,"b":[%d,0.5]}' % (2**70, 2**63)
    assert content_sha256(2**63) != content_sha256(2**63 + 1)
    assert content_sha256(2**63) != content_sha256(str(2**63))


def test_what_is_sealed_counts_by_its_commitment() -> None:
    sealed = {"name": {"$sealed": "a" * 64, "box": "ciphertext"}, "n": [1]}
    erased = {"name": {"$sealed": "a" * 64}, "n": [1]}
    other = {"name": {"$sealed": "b" * 64, "box": "ciphertext"}, "n": [1]}
    assert content_sha256(sealed) == content_sha256(erased) != content_sha256(other)


@pytest.mark.parametrize(
    "lookalike",
    [{"$sealed": "a" * 63}, {"$sealed": "a" * 64, "box": 1}, {"$sealed": "a" * 64, "more": 1}, {"$sealed": 1}],
)
def test_what_only_looks_sealed_is_hashed_as_it_is(lookalike: dict[str, Any]) -> None:
    assert content_sha256(lookalike) != content_sha256({"$sealed": lookalike["$sealed"]}) or len(lookalike) == 1
    assert content_sha256(lookalike) == content_sha256(json.loads(json.dumps(lookalike)))


def test_a_leaf_names_each_event_by_its_hash_and_the_rest_of_the_commit_as_it_is() -> None:
    commit = {
        "commit_id": "cmd_1", "tenant_id": "tnt_a", "kind": "run", "stream_id": "run_1", "first_version": 1,
        "events": [{"type": "a.b.v1", "x": {"$sealed": "c" * 64, "box": "gone one day"}}, {"type": "a.c.v1"}],
    }  # fmt: skip
    leaf = leaf_of(PLACE, json.dumps(commit).encode())
    said = json.loads(leaf.text)
    assert said["commit"] == {key: value for key, value in commit.items() if key != "events"}
    assert said["events"] == [event.hex() for event in leaf.events]
    assert (said["sequence"], said["shard"]) == (7, 0)
    commit["events"][0]["x"].pop("box")  # type: ignore[index]  # a list of events, which the literal does not say
    assert leaf_of(PLACE, json.dumps(commit).encode()) == leaf


@pytest.mark.parametrize(
    "body",
    [b"\x00\xff", b"{}", b'{"events":[]}', b'{"tenant_id":"tnt_b","kind":"run","stream_id":"run_1","events":[]}'],
)
def test_what_is_no_commit_of_its_place_is_kept_byte_by_byte(body: bytes) -> None:
    leaf = leaf_of(PLACE, body)
    assert leaf.events == ()
    assert json.loads(leaf.text)["message_id"] == "cmd_1"
    assert leaf_of(PLACE, body + b" ").hash != leaf.hash
