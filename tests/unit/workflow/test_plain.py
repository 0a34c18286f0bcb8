import hashlib
from datetime import date
from typing import Any

import pytest
import rfc8785

from fairlead.domain.workflow.document import MAX_DOCUMENT_BYTES
from fairlead.domain.workflow.plain import MAX_DEPTH, MAX_INTEGER, document_hash, plain_problems, pointer


def codes(value: Any) -> list[tuple[str, str]]:
    return [(problem.path, problem.code) for problem in plain_problems(value)]


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [
        date(2026, 1, 1),
        {1, 2},
        (1,),
        b"x",
        float("nan"),
        float("-inf"),
        MAX_INTEGER + 1,
        "\ud800",
        {1: "x"},
        {"\udfff": 1},
    ],
)
def test_what_json_cannot_say_is_refused_where_it_stands(value: Any) -> None:
    assert codes({"a": [0, value]}) == [("/a/1", "not_plain_data")]


def test_json_passes() -> None:
    assert codes({"a": [None, True, MAX_INTEGER, -MAX_INTEGER, 1.5, "text 😀", {"": []}]}) == []


def test_depth_is_bounded_and_costs_no_stack() -> None:
    assert codes(nested(MAX_DEPTH)) == []
    assert [code for _, code in codes(nested(MAX_DEPTH + 1))] == ["too_deep"]
    assert [code for _, code in codes(nested(200_000))] == ["too_deep"]


def test_size_is_bounded() -> None:
    frame = len(rfc8785.dumps({"a": ""}))
    assert codes({"a": "x" * (MAX_DOCUMENT_BYTES - frame)}) == []
    assert codes({"a": "x" * (MAX_DOCUMENT_BYTES - frame + 1)}) == [("", "too_large")]


def test_data_that_contains_itself_is_refused() -> None:
    loop: list[Any] = []
    loop.append(loop)
    assert [code for _, code in codes(loop)] == ["too_deep"]


def test_aliases_that_multiply_are_refused_before_they_are_written_out() -> None:
    value: Any = ["x"] * 10
    for _ in range(30):
        value = [value] * 10
    assert codes(value) == [("", "too_large")]


def test_the_hash_is_over_canonical_json() -> None:
    assert document_hash({"b": 1.0, "a": "é"}) == hashlib.sha256('{"a":"é","b":1}'.encode()).hexdigest()


def test_a_pointer_escapes_what_would_mean_something_else() -> None:
    assert pointer(("a/b", 0, "m~n", "")) == "/a~1b/0/m~0n/"
