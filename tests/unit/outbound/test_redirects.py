"""Where a reference leads, by the examples of RFC 3986, and when two addresses are of one origin."""

from urllib.parse import urljoin

import pytest
from fairlead_sdk.errors import Refused
from fairlead_sdk.redirects import joined, origin

BASE = "http://a/b/c/d;p?q"


@pytest.mark.parametrize(
    "reference",
    [
        *("g", "./g", "g/", "/g", "//g", "?y", "g?y", ";x", "g;x", ".", "./", "..", "../", "../g", "../..", "../../g"),
        *("../../../g", "/./g", "/../g", "g.", ".g", "./../g", "./g/.", "g/./h", "g/../h", "http://h/x", "g?y/../x"),
    ],
)
def test_references_lead_where_the_standard_says(reference: str) -> None:
    assert joined(BASE, reference) == urljoin(BASE, reference)


def test_a_fragment_is_dropped_and_nothing_leads_to_the_same_place() -> None:
    assert joined(BASE, "") == BASE
    assert joined(BASE, "g#s") == "http://a/b/c/g"
    assert joined("http://a/b#c", "#s") == "http://a/b"


def test_a_host_without_a_path_has_the_root() -> None:
    assert joined("https://a", "g") == "https://a/g"


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("https://a.example/x", "HTTPS://A.example:443/y", True),
        ("https://a.example/x", "http://a.example/x", False),
        ("https://a.example/x", "https://b.example/x", False),
        ("https://a.example/x", "https://a.example:8443/x", False),
        ("https://a.example/x", "https://a.example@b.example/x", False),
    ],
)
def test_an_origin_is_scheme_host_and_port(one: str, other: str, is_same: bool) -> None:
    assert (origin(one) == origin(other)) is is_same


def test_what_is_not_absolute_has_no_origin() -> None:
    with pytest.raises(Refused):
        origin("/x")
