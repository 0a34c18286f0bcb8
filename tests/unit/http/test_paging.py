"""How one page leads to the next, by each of the ways in which services tell."""

from typing import Any

import pytest
from fairlead_sdk import BadArguments, HttpAnswer, Refused

from fairlead_http.hints import Pagination
from fairlead_http.paging import Pages

URL = "https://crm.example.com/api/things"


def answer(link: str = "") -> HttpAnswer:
    return HttpAnswer(status=200, headers={"link": link} if link else {}, body=b"")


@pytest.mark.parametrize(
    ("link", "following"),
    [
        ('<https://crm.example.com/api/things?page=2>; rel="next"', f"{URL}?page=2"),
        ('<?page=2>; rel="next", <?page=9>; rel="last"', f"{URL}?page=2"),
        ('<?page=9>; rel="last", <?page=2>; title="x"; rel="prev next"', f"{URL}?page=2"),
        ("</api/things?page=2>;rel=next", f"{URL}?page=2"),
        ('<?page=1>; rel="prev"', None),
        ('<?page=1>; rel="nextish"', None),
        ("", None),
    ],
)
def test_a_link_leads_on(link: str, following: str | None) -> None:
    pages = Pages(Pagination(style="link"), URL, None)
    pages.add([1], answer(link))
    assert (pages.next, pages.address) == (following, following)


def test_pages_by_link_are_put_together_and_end() -> None:
    pages = Pages(Pagination(style="link"), URL, None)
    pages.add([1, 2], answer('<?p=2>; rel="next"'))
    pages.add([3], answer())
    assert pages.body == [1, 2, 3]
    assert pages.next is None


@pytest.mark.parametrize("foreign", ["https://evil.example/x", "http://crm.example.com/x", "//evil.example/x"])
def test_no_link_leads_to_another_service(foreign: str) -> None:
    with pytest.raises(Refused):
        Pages(Pagination(style="link"), URL, foreign)
    with pytest.raises(Refused):
        Pages(Pagination(style="link"), URL, None).add([], answer(f'<{foreign}>; rel="next"'))


def test_a_cursor_goes_into_its_parameter_in_place_of_the_callers() -> None:
    how = Pagination(style="cursor", parameter="page[after]", next="meta.next", items="data")
    pages = Pages(how, URL, None)
    assert pages.query(["q=1"]) == ["q=1"]
    pages.add({"data": [1], "meta": {"next": "a b"}}, answer())
    assert pages.query(["q=1", "page%5Bafter%5D=mine"]) == ["q=1", "page%5Bafter%5D=a%20b"]
    pages.add({"data": [2], "meta": {"next": ""}, "total": 2}, answer())
    assert (pages.body, pages.next) == ({"data": [1, 2], "meta": {"next": ""}, "total": 2}, None)


@pytest.mark.parametrize("end", [None, "", False, True, {}, []])
def test_what_is_no_cursor_is_the_end(end: Any) -> None:
    pages = Pages(Pagination(style="cursor", parameter="after", next="next"), URL, None)
    pages.add({"next": end}, answer())
    assert pages.next is None


def test_offsets_count_what_was_read_and_end_with_nothing() -> None:
    pages = Pages(Pagination(style="offset", parameter="offset", items="items"), URL, "10")
    assert pages.query([]) == ["offset=10"]
    pages.add({"items": [1, 2, 3]}, answer())
    assert pages.query([]) == ["offset=13"]
    pages.add({"items": []}, answer())
    assert pages.next is None


def test_pages_are_counted_from_where_they_begin_and_end_where_the_service_says() -> None:
    pages = Pages(Pagination(style="page", parameter="p", items="items", more="more", first=0), URL, None)
    assert pages.query([]) == []
    pages.add({"items": [1], "more": True}, answer())
    assert pages.next == "1"
    pages.add({"items": [2], "more": False}, answer())
    assert pages.query([]) == []
    assert pages.body["items"] == [1, 2]


def test_a_circle_is_refused() -> None:
    pages = Pages(Pagination(style="cursor", parameter="after", next="next"), URL, None)
    pages.add({"next": "a"}, answer())
    with pytest.raises(Refused):
        pages.add({"next": "a"}, answer())


@pytest.mark.parametrize("given", ["x", "-1", "1.5", "9" * 13, "1&admin=1"])
def test_a_page_that_was_never_given_is_refused(given: str) -> None:
    with pytest.raises(BadArguments):
        Pages(Pagination(style="offset", parameter="offset"), URL, given)
