"""Arguments become parts of a request, by the examples of the OpenAPI specification."""

from typing import Any

import pytest
from fairlead_sdk import BadArguments

from fairlead_http.recipes import Body, In, Parameter, Style
from fairlead_http.serializing import encoded_body, in_header, in_path, in_query

COLORS: list[Any] = ["blue", "black", "brown"]
RGB = {"R": 100, "G": 200, "B": 150}
FORM = Body(argument="b", kind="form", media_type="x")


def parameter(place: In, style: Style, explode: bool, **more: Any) -> Parameter:
    return Parameter(argument="color", name="color", place=place, style=style, explode=explode, **more)


@pytest.mark.parametrize(
    ("style", "explode", "value", "expected"),
    [
        ("simple", False, "blue", "blue"),
        ("simple", False, COLORS, "blue,black,brown"),
        ("simple", False, RGB, "R,100,G,200,B,150"),
        ("simple", True, RGB, "R=100,G=200,B=150"),
        ("label", False, "blue", ".blue"),
        ("label", False, COLORS, ".blue,black,brown"),
        ("label", True, COLORS, ".blue.black.brown"),
        ("label", True, RGB, ".R=100.G=200.B=150"),
        ("matrix", False, "blue", ";color=blue"),
        ("matrix", False, COLORS, ";color=blue,black,brown"),
        ("matrix", True, COLORS, ";color=blue;color=black;color=brown"),
        ("matrix", False, RGB, ";color=R,100,G,200,B,150"),
        ("matrix", True, RGB, ";R=100;G=200;B=150"),
        ("simple", False, "a/b?c#d e%2Fé", "a%2Fb%3Fc%23d%20e%252F%C3%A9"),
        ("simple", False, True, "true"),
        ("json", False, {"a": 1}, "%7B%22a%22%3A1%7D"),
    ],
)
def test_a_value_in_a_path(style: Style, explode: bool, value: Any, expected: str) -> None:
    assert in_path(parameter("path", style, explode), value) == expected


@pytest.mark.parametrize("value", ["", ".", "..", [], {}, ["."], "../x", "x/..", "x\\..\\y"])
def test_no_value_leads_to_another_path(value: Any) -> None:
    with pytest.raises(BadArguments):
        in_path(parameter("path", "simple", False), value)


@pytest.mark.parametrize(
    ("style", "explode", "value", "expected"),
    [
        ("form", True, "blue", ["color=blue"]),
        ("form", True, "", ["color="]),
        ("form", False, COLORS, ["color=blue,black,brown"]),
        ("form", True, COLORS, ["color=blue", "color=black", "color=brown"]),
        ("form", False, RGB, ["color=R,100,G,200,B,150"]),
        ("form", True, RGB, ["R=100", "G=200", "B=150"]),
        ("spaceDelimited", False, COLORS, ["color=blue%20black%20brown"]),
        ("pipeDelimited", False, COLORS, ["color=blue|black|brown"]),
        ("deepObject", True, RGB, ["color%5BR%5D=100", "color%5BG%5D=200", "color%5BB%5D=150"]),
        ("deepObject", True, {"a": {"b": [1]}}, ["color%5Ba%5D%5Bb%5D%5B0%5D=1"]),
        ("form", True, "a&b=c+d e", ["color=a%26b%3Dc%2Bd%20e"]),
        ("form", True, 1.5, ["color=1.5"]),
        ("form", True, None, ["color=null"]),
        ("json", False, {"a": [1]}, ["color=%7B%22a%22%3A%5B1%5D%7D"]),
    ],
)
def test_a_value_in_a_query(style: Style, explode: bool, value: Any, expected: list[str]) -> None:
    assert list(in_query(parameter("query", style, explode), value)) == expected


def test_what_may_stay_as_it_is_cannot_end_a_value() -> None:
    reserved = parameter("query", "form", True, reserved=True)
    assert list(in_query(reserved, "/a:b?c&d=e#f+g")) == ["color=/a:b?c%26d=e%23f%2Bg"]


@pytest.mark.parametrize(
    ("explode", "value", "expected"),
    [
        (False, COLORS, "blue,black,brown"),
        (False, RGB, "R,100,G,200,B,150"),
        (True, RGB, "R=100,G=200,B=150"),
        (False, 5, "5"),
    ],
)
def test_a_value_in_a_header(explode: bool, value: Any, expected: str) -> None:
    assert in_header(parameter("header", "simple", explode), value) == expected


@pytest.mark.parametrize(
    ("body", "value", "expected"),
    [
        (Body(argument="b", kind="json", media_type="application/json"), {"a": [1, None]}, b'{"a":[1,null]}'),
        (Body(argument="b", kind="text", media_type="text/plain"), "hé", "hé".encode()),
        (FORM, {"a": 1, "b": ["x", "y z"], "c": {"d": 1}}, b"a=1&b=x&b=y%20z&c=%7B%22d%22%3A1%7D"),
        (Body(argument="b", kind="form", media_type="x", deep=("c",)), {"c": {"d": {"e": 1}}}, b"c%5Bd%5D%5Be%5D=1"),
        (Body(argument="b", kind="form", media_type="x", joined=("b",)), {"b": [1, 2]}, b"b=1,2"),
    ],
)
def test_a_body(body: Body, value: Any, expected: bytes) -> None:
    assert encoded_body(body, value) == expected


def test_a_form_is_an_object() -> None:
    with pytest.raises(BadArguments):
        encoded_body(Body(argument="b", kind="form", media_type="x"), [1])
