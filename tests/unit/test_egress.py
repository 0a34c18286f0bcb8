"""Where a connector's requests may go: what it declared, and nothing that looks like it."""

import pytest
from fairlead_sdk.egress import allows

EGRESS = ("api.example.com", "*.files.example.com", "db.example.com:8443", "{base_url}", "{account}.tickets.example")
CONFIG = {"base_url": "http://tickets.corp:8080/api", "account": "Acme"}


@pytest.mark.parametrize(
    "url",
    [
        "https://api.example.com",
        "https://API.example.com./v1?q=1",
        "https://a.files.example.com/",
        "https://a.b.files.example.com/",
        "https://db.example.com:8443/",
        "http://tickets.corp:8080/other",
        "https://acme.tickets.example/",
        "http://tickets.corp:8080?q=1",
    ],
)
def test_declared_hosts_are_reached(url: str) -> None:
    assert allows(EGRESS, CONFIG, url)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com",
        "https://api.example.com.evil.net",
        "https://evilapi.example.com",
        "https://api.example.com:8443",
        "http://api.example.com",
        "https://files.example.com",
        "https://evilfiles.example.com",
        "https://db.example.com",
        "http://tickets.corp",
        "https://tickets.corp:8081",
        "ftp://api.example.com",
        "https://api.example.com@evil.net/",
        "https://user@api.example.com/",
        "https://api.example.com:port/",
        "https://api.example.com\\@evil.net/",
        "https://api.example.com%00.evil.net/",
        "https://api.example.com\n",
        " https://api.example.com",
        "https://db.example.com:99999/",
        "https://tickets.example/",
        "https://other.tickets.example/",
        "//api.example.com",
        "api.example.com",
        "",
    ],
)
def test_anything_else_is_not(url: str) -> None:
    assert not allows(EGRESS, CONFIG, url)


@pytest.mark.parametrize("given", [{}, {"base_url": ""}, {"base_url": "tickets corp"}, {"base_url": "file:///etc"}])
def test_a_field_without_an_address_opens_nothing(given: dict[str, str]) -> None:
    assert not allows(("{base_url}",), given, "https://tickets.corp/")


def test_an_address_may_be_a_number() -> None:
    config = {"base_url": "http://[::1]:8080"}
    assert allows(("{base_url}",), config, "http://[::1]:8080/x")
    assert not allows(("{base_url}",), config, "http://[::2]:8080/x")


@pytest.mark.parametrize("account", ["", "evil.net/", "a.b", "*", "evil.net#"])
def test_a_field_inside_a_name_is_one_label(account: str) -> None:
    for host in ("evil.net", "a.b.tickets.example", "tickets.example", "x.tickets.example"):
        assert not allows(("{account}.tickets.example",), {"account": account}, f"https://{host}/")


def test_a_field_may_name_a_host_alone() -> None:
    assert allows(("{base_url}",), {"base_url": "tickets.corp"}, "https://tickets.corp/")
