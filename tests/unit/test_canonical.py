"""One value, one form: whatever way it is written, it is the one of RFC 8785."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import pytest
import rfc8785
from fairlead_sdk.contract import Effect
from hypothesis import given
from hypothesis import strategies as st

from fairlead.domain.canonical import canonical


class Word(StrEnum):
    ONE = "one"


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.text(
    st.characters(codec="ascii"), max_size=8
)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=10,
)


@given(JSON)
def test_a_value_has_the_form_of_the_standard(value: Any) -> None:
    assert canonical(value) == rfc8785.dumps(value)


def test_every_ascii_character_has_the_form_of_the_standard() -> None:
    value = {chr(code) + tail: chr(code) for code in range(128) for tail in ("", "a")}
    assert canonical(value) == rfc8785.dumps(value)


@pytest.mark.parametrize("depth", [31, 32, 33, 100])
def test_depth_changes_nothing(depth: int) -> None:
    value: Any = "x"
    for _ in range(depth):
        value = {"b": [value], "a": 1}
    assert canonical(value) == rfc8785.dumps(value)


@pytest.mark.parametrize("value", [2**53 - 1, -(2**53) + 1])
def test_integers_are_exact_up_to_the_limit(value: int) -> None:
    assert canonical([value]) == b"[%d]" % value


@pytest.mark.parametrize("value", [2**53, -(2**53), 10**30])
def test_longer_integers_stand_as_text(value: int) -> None:
    assert canonical({"n": value}) == b'{"n":"%d"}' % value


@pytest.mark.parametrize(
    "value",
    [float("nan"), float("inf"), b"x", {1: "x"}, {None: 1}, {"x": {1, 2}}, datetime(2026, 1, 1, tzinfo=UTC), "\ud800"],
    ids=repr,
)
def test_what_is_not_json_is_refused(value: Any) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # each is refused in words of its own
        canonical({"a": [value]})


@pytest.mark.parametrize("value", [Word.ONE, Effect.READ, {Word.ONE: Word.ONE}, (1, "a"), True])
def test_what_stands_for_json_is_written_as_before(value: Any) -> None:
    assert canonical({"a": value}) == rfc8785.dumps({"a": value})
