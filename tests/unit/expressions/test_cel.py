"""Expressions of documents: what they give, and everything that must not count as true."""

from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

import pytest

from fairlead.adapters.cel import MAX_SOURCE_BYTES, CelExpressions
from fairlead.domain.expressions import ExpressionFailed, ExpressionInvalid

EXPRESSIONS = CelExpressions()
INVOICE = {
    "input": {
        "total": 150,
        "rate": 1.5,
        "note": None,
        "seller": {"name": "Grüße 😀"},
        "lines": [{"net": 1}, {"net": 4}],
    },
    "steps": {"a": {"output": {"ok": True}}},
}


class Colour(StrEnum):
    RED = "red"


def value(source: str, variables: dict[str, Any] = INVOICE) -> Any:
    return EXPRESSIONS.compile(source, variables).value(variables)


def holds(source: str, variables: dict[str, Any] = INVOICE) -> bool:
    return EXPRESSIONS.compile(source, variables).holds(variables)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("input.total", 150),
        ("input.total + 1", 151),
        ("input.rate * 2.0", 3.0),
        ("input.note", None),
        ("input.seller", {"name": "Grüße 😀"}),
        ("input.seller.name.size()", 7),
        ("'<' + input.seller.name + '>'", "<Grüße 😀>"),
        ("input.lines.map(line, line.net * 2)", [2, 8]),
        ("input.lines.filter(line, line.net > 1)", [{"net": 4}]),
        ("{'a': [input.total, {'b': steps.a.output.ok}]}", {"a": [150, {"b": True}]}),
        ("timestamp('2026-01-01T00:00:00Z') + duration('36h')", "2026-01-02T12:00:00Z"),
        ("duration('90m')", "5400s"),
        ("size(input.lines)", 2),
        ("input['total']", 150),
        ("has(input.absent) ? input.absent : 'none'", "none"),
        ("7u", 7),
    ],
)
def test_values_come_out_as_plain_json(source: str, expected: Any) -> None:
    result = value(source)
    assert result == expected
    assert type(result) is type(expected)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("input.total > 100 && steps.a.output.ok", True),
        ("has(input.total)", True),
        ("has(input.absent)", False),
        ("input.note == null", True),
        ("input.lines.all(line, line.net > 0)", True),
        ("input.lines.exists(line, line.net > 4)", False),
        ("input.seller.name.matches('^Gr')", True),
        ("timestamp('2026-01-01T00:00:00Z') < timestamp('2026-01-01T01:00:00+00:00')", True),
        ("input.absent == 1 || true", True),
    ],
)
def test_conditions_hold_or_do_not(source: str, expected: bool) -> None:
    assert holds(source) is expected


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("input.absent > 1", "there is no field absent"),
        ("steps.b.output.ok", "there is no field b"),
        ("input.total / 0 == 1", "divide by zero"),
        ("9223372036854775807 + input.total > 0", "overflow"),
        ("input.total > 'a'", "No matching overloads"),
        ("input.note > 1", "No matching overloads"),
        ("input.lines[7].net == 1", "index=7"),
        ("input.seller", "this one gave map"),
        ("input.total", "this one gave int"),
        ("input.seller.name", "this one gave string"),
        ("input.note", "this one gave null"),
    ],
)
def test_what_is_not_a_boolean_never_counts_as_one(source: str, reason: str) -> None:
    with pytest.raises(ExpressionFailed, match=reason):
        holds(source)


def test_a_variable_without_a_value_is_an_error_and_not_an_unknown() -> None:
    expression = EXPRESSIONS.compile("input.total > 1 || steps.x", ["input", "steps"])
    with pytest.raises(ExpressionFailed, match="there is no value for input"):
        expression.holds({})
    with pytest.raises(ExpressionFailed, match="there is no value for input"):
        expression.value({})


@pytest.mark.parametrize(
    "given",
    [
        float("nan"),
        float("inf"),
        -float("inf"),
        2**64,
        -(2**63) - 1,
        Decimal(1),
        datetime(2026, 1, 1, tzinfo=UTC),
        (1, 2),
        {1, 2},
        Colour.RED,
        object(),
        "half a pair \ud800",
    ],
)
def test_only_json_of_64_bits_goes_in_at_any_depth(given: Any) -> None:
    for variables in ({"a": given}, {"a": {"b": [1, {"c": given}]}}, {"a": {"b": None, "c": given}}):
        with pytest.raises(ExpressionFailed):
            EXPRESSIONS.compile("a != 1", ["a"]).holds(variables)


@pytest.mark.parametrize(
    "source",
    ["double('nan')", "1.0 / 0.0", "b'abc'", "type(1)", "{1: 2}", "18446744073709551615u", "[type(1)]", "{'a': b'x'}"],
)
def test_only_json_comes_out(source: str) -> None:
    with pytest.raises(ExpressionFailed):
        value(source)


def test_null_beside_finite_numbers_is_no_reason_to_refuse() -> None:
    assert holds("a.b == null && a.c == 1.5", {"a": {"b": None, "c": 1.5}})


@pytest.mark.parametrize(
    ("source", "where"),
    [
        ("input.total +", "line 1, column 14"),
        ("\n\n  input @ 1", "line 3, column 9"),
        ("inputs.total", "line 1, column 7: undeclared reference to 'inputs.total'; known names: input, steps"),
        ("input.sum()", "line 1, column 10: undeclared reference to 'sum'"),
        ("", "line 1, column 1"),
        ("!" * MAX_SOURCE_BYTES + "a", "at most 4096 bytes, this one has 4097"),
        ("ü" * MAX_SOURCE_BYTES, "at most 4096 bytes, this one has 8192"),
        ("(" * 100 + "1" + ")" * 100, "recursion"),
        ("+".join(["1"] * 500), "recursion depth"),
    ],
)
def test_a_malformed_source_says_where(source: str, where: str) -> None:
    with pytest.raises(ExpressionInvalid) as refused:
        EXPRESSIONS.compile(source, ["input", "steps"])
    assert where in str(refused.value)


@pytest.mark.parametrize(
    "source",
    ["known[a]", "int(a)", "timestamp(a) > timestamp(a)", "'x'.matches(a)", "duration(a)", "a.b", "a[0]", "a > 1"],
)
def test_no_message_quotes_data(source: str) -> None:
    with pytest.raises(ExpressionFailed) as failed:
        value(source, {"a": "(s3cret", "known": {"x": 1}})
    assert "s3cret" not in str(failed.value)


def test_deep_nesting_is_refused_and_does_not_crash() -> None:
    nested: dict[str, Any] = {}
    for _ in range(100_000):
        nested = {"k": nested}
    with pytest.raises(ExpressionFailed, match="nest too deeply"):
        EXPRESSIONS.compile("has(a.b) || a == a", ["a"]).holds({"a": nested})


def test_variables_are_bounded_in_size() -> None:
    with pytest.raises(ExpressionFailed, match="larger than 1000000 bytes"):
        holds("a == ''", {"a": "x" * 1_000_001})


@pytest.mark.parametrize(
    ("source", "variables"),
    [
        ("['aaaaaaaa']" + ".map(x, x + x)" * 26 + "[0].size() > 0", {}),
        ("[[1, 2]]" + ".map(x, x + x)" * 26 + "[0].size() > 0", {}),
        ("a.map(x, b + b).size() > 0", {"a": [1] * 2_000, "b": "x" * 100_000}),
        ("a.map(x, a.map(y, b + b)).size() > 0", {"a": [1] * 100, "b": "x" * 100_000}),
        ("a.map(x, x).size() > 0", {"a": [1] * 6_000}),
        ("a.all(x, a.all(y, x + y >= 0))", {"a": [1] * 200}),
        ("a.map(x, a.map(y, a)) == []", {"a": [1] * 101}),
    ],
)
def test_what_could_grow_without_measure_is_stopped(source: str, variables: dict[str, Any]) -> None:
    with pytest.raises(ExpressionFailed, match=r"could (walk|grow)|budget"):
        holds(source, variables)


def test_a_result_that_repeats_a_long_value_is_not_copied_out() -> None:
    with pytest.raises(ExpressionFailed, match="the result holds more than"):
        value("a.map(x, b)", {"a": [1] * 2_000, "b": "x" * 100_000})


def test_ordinary_mappings_over_many_lines_pass() -> None:
    lines = [{"id": number, "net": number, "tax": 1, "name": "n" * 100} for number in range(1_000)]
    result = value("a.map(l, {'id': l.id, 'gross': l.net + l.tax, 'name': l.name})", {"a": lines})
    assert result[999] == {"id": 999, "gross": 1_000, "name": "n" * 100}


@pytest.mark.parametrize(
    "source",
    [
        "input.total == 150",
        "input == input",
        "size(input) == 5",
        "'total' in input",
        "input['total'] == 150",
        "input . total == 150",
        "input // all of it\n.total == 150",
        "input.lines.map(x, x.net) == [1, 4]",
        "input.lines.map (x, x.net) == [1, 4]",
        "input.lines.map // it\n (x, x.net) == [1, 4]",
        "input.filter(key, key == 'total') == ['total']",
        "input.exists(key, input[key] == 150)",
        "[1].all(input, input == 1) && input.total == 150",
        "input.seller.name != '' && has(input.seller) && input.seller == {'name': input.seller.name}",
        "steps.exists(id, steps[id].output.ok)",
        "steps.a == {'output': {'ok': true}}",
        ".input.total == 150",
    ],
)
def test_an_expression_sees_all_that_it_reaches_for(source: str) -> None:
    assert holds(source)


def test_what_an_expression_does_not_reach_for_is_not_even_looked_at() -> None:
    assert holds("a.b == 1", {"a": {"b": 1, "c": float("nan"), "d": object()}, "e": object()})


def test_a_source_is_compiled_once() -> None:
    assert EXPRESSIONS.compile("a + 1", ["a", "b"]) is EXPRESSIONS.compile("a + 1", ["b", "a"])
    assert EXPRESSIONS.compile("a + 1", ["a"]) is not EXPRESSIONS.compile("a + 1", ["a", "b"])


@pytest.mark.parametrize("name", ["size", "has", "type", "int", "map"])
def test_a_variable_may_share_its_name_with_a_function(name: str) -> None:
    try:
        expression = EXPRESSIONS.compile(f"{name} == 1 && size([1]) == 1", [name])
    except ExpressionInvalid:
        return  # the language keeps the word to itself
    assert expression.holds({name: 1})
