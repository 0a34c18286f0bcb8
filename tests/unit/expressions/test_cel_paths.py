"""A plain path gives what CEL gives, value for value and error for error."""

from enum import StrEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.adapters import cel
from fairlead.adapters.cel import CelExpressions
from fairlead.adapters.cel_paths import MAX_PLAIN_CHARS, NOT_PLAIN, at, path_of
from fairlead.domain.expressions import ExpressionFailed, ExpressionInvalid

NAMES = ("input", "steps", "a", "size", "type", "int", "list", "null_type", "google", "dyn")
VARIABLES = ("a", "google", "input", "int", "list", "steps", "type")


class Word(StrEnum):
    ONE = "one"


class Text(str):
    __slots__ = ()


LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(min_value=-(2**70), max_value=2**70)
    | st.floats()
    | st.text(st.characters(), max_size=20)
    | st.sampled_from(["", "null", "\ud800", "\x00", "é", Word.ONE, Text("x"), 2**63, -(2**63), -0.0, b"x", (1,)])
)
KEYS = st.sampled_from(NAMES) | st.integers()
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(NAMES) | st.integers(), inner, max_size=3)
    ),
    max_leaves=8,
)
GIVEN = st.dictionaries(st.sampled_from(VARIABLES), VALUES, max_size=5)
PATHS = st.lists(st.sampled_from(NAMES), min_size=1, max_size=4).map(".".join)


def told(expressions: CelExpressions, source: str, variables: dict[str, Any], ask: str) -> tuple[Any, ...]:
    try:
        answer = getattr(expressions.compile(source, VARIABLES), ask)(variables)
    except (ExpressionFailed, ExpressionInvalid) as error:
        return type(error), str(error)
    return type(answer), repr(answer)


class OnlyCel(CelExpressions):
    """Never takes the short way."""

    def _build(self, source: str, variables: tuple[str, ...]) -> cel.CelExpression:
        built = super()._build(source, variables)
        built._path = None
        return built


SHORT, LONG = CelExpressions(), OnlyCel()


@given(PATHS, GIVEN, st.sampled_from(["value", "holds"]))
def test_a_path_gives_what_cel_gives(source: str, variables: dict[str, Any], ask: str) -> None:
    assert told(SHORT, source, variables, ask) == told(LONG, source, variables, ask)


@given(VALUES)
def test_what_is_at_the_end_of_a_path_is_what_cel_gives(value: Any) -> None:
    variables = {"steps": {"a": {"size": value}}}
    assert told(SHORT, "steps.a.size", variables, "value") == told(LONG, "steps.a.size", variables, "value")


@pytest.mark.parametrize("value", ["text", "", 0, 2**63 - 1, -(2**63), 1.5, -0.0, True, False, None])
def test_plain_values_are_found_without_cel(value: Any) -> None:
    found = at(("input", "total"), {"input": {"total": value}})
    assert (type(found), repr(found)) == (type(value), repr(value))


@pytest.mark.parametrize("size", [MAX_PLAIN_CHARS - 1, MAX_PLAIN_CHARS, MAX_PLAIN_CHARS + 1])
@pytest.mark.parametrize("sign", ["x", "\x01", "é"])
def test_the_longest_text_that_a_path_gives_is_one_that_cel_takes(sign: str, size: int) -> None:
    variables = {"input": {"a": sign * size}}
    assert told(SHORT, "input.a", variables, "value") == told(LONG, "input.a", variables, "value")
    assert (at(("input", "a"), variables) is NOT_PLAIN) is (size > MAX_PLAIN_CHARS or sign == "é")


@pytest.mark.parametrize(
    "source", ["input.a + 1", "input.a()", "input['a']", "input.a // x", "a .b", "other.a", "int.a"]
)
def test_anything_more_is_no_path(source: str) -> None:
    assert path_of(source, VARIABLES) is None
