"""What an address says, and whether its host was declared."""

import pytest
from fairlead_sdk.egress import allows
from fairlead_sdk.errors import Refused

from fairlead.adapters.outbound.destinations import MAX_URL_BYTES, declared, destination_of


@pytest.mark.parametrize(
    "url",
    [
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0x7f.1/",
        "https://0177.0.0.1/",
        "https://127.1/",
        "https://127.0.0.1.256/",
        "https://127.0.0.01/",
        "https://1.2.3.4.0x5/",
        "https://[::1/",
        "https://[::g]/",
        "https://[fe80::1%25eth0]/",
        "https://①②⑦.0.0.1/",
        "https://\uff11\uff12\uff17.0.0.1/",
        "https://127。0。0。1/",
        "https://user@example.com/",
        "https://user:password@example.com/",
        "https://example.com\\@evil.example/",
        "https://example.com /",
        "https://example.com/\r\nx: y",
        "https://example.com/\x00",
        "https://exa%6dple.com/",
        "https://-example.com/",
        "https://example..com/",
        "https:///path",
        "https://",
        "//example.com/",
        "/path",
        "ftp://example.com/",
        "file:///etc/passwd",
        "gopher://example.com/",
        "javascript:alert(1)",
        "https://example.com:65536/",
        "https://example.com:0x50/",
        f"https://{'a.' * 130}com/",
        "https://example.com/" + "a" * MAX_URL_BYTES,
    ],
)
def test_an_address_that_could_be_read_in_two_ways_is_refused(url: str) -> None:
    with pytest.raises(Refused) as refused:
        destination_of(url)
    assert refused.value.code == "egress_denied"
    assert url not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "host", "port", "target", "authority"),
    [
        ("https://API.Example.com", "api.example.com", 443, b"/", "api.example.com"),
        ("https://api.example.com./a?b=c#d", "api.example.com", 443, b"/a?b=c", "api.example.com"),
        ("http://api.example.com:8080/a%2Fb", "api.example.com", 8080, b"/a%2Fb", "api.example.com:8080"),
        ("https://93.184.216.34:443/", "93.184.216.34", 443, b"/", "93.184.216.34"),
        ("https://[2606:4700:0:0::1111]/", "2606:4700::1111", 443, b"/", "[2606:4700::1111]"),
        ("https://xn--mnchen-3ya.example/", "xn--mnchen-3ya.example", 443, b"/", "xn--mnchen-3ya.example"),
    ],
)
def test_an_address_is_taken_apart_once(url: str, host: str, port: int, target: bytes, authority: str) -> None:
    found = destination_of(url)
    assert (found.host, found.port, found.target, found.authority) == (host, port, target, authority)


@pytest.mark.parametrize(
    ("pattern", "url", "is_covered"),
    [
        ("api.example.com", "https://api.example.com/x", True),
        ("api.example.com", "https://api.example.com:8443/x", False),
        ("api.example.com", "https://api.example.com.evil.example/x", False),
        ("api.example.com", "https://evilapi.example.com/x", False),
        ("api.example.com", "http://api.example.com/x", False),
        ("api.example.com:8443", "https://api.example.com:8443/x", True),
        ("*.example.com", "https://a.b.example.com/x", True),
        ("*.example.com", "https://example.com/x", False),
        ("*.example.com", "https://notexample.com/x", False),
        ("*.com", "https://example.com/x", False),
        ("*", "https://example.com/x", False),
        ("[::1]:8443", "https://[::1]:8443/x", True),
        ("2606:4700::1111", "https://[2606:4700::1111]/x", True),
        ("{base_url}", "https://crm.example.org/x", True),
        ("{base_url}", "https://crm.example.org:444/x", False),
        ("{bare}", "https://crm.example.org:8443/x", True),
        ("{shop}.example.com", "https://acme.example.com/x", True),
        ("{shop}.example.com", "https://other.example.com/x", False),
        ("{sly}.example.com", "https://evil.example/x", False),
        ("{sly}.example.com", "https://evil.example/.example.com", False),
        ("{star}", "https://anything.example/x", False),
        ("{star}.example.com", "https://anything.example.com/x", False),
        ("{missing}", "https://example.com/x", False),
        ("0x7f.1", "https://127.0.0.1/x", False),
    ],
)
def test_only_a_declared_host_and_port_is_covered(pattern: str, url: str, is_covered: bool) -> None:
    config = {
        "base_url": "https://crm.example.org/api/v2",
        "bare": "crm.example.org:8443",
        "shop": "acme",
        "sly": "evil.example/",
        "star": "*",
    }
    assert any(host.covers(destination_of(url)) for host in declared([pattern], config)) is is_covered
    if ":" not in url.removeprefix("https://").partition("/")[0].partition("]")[0]:  # the SDK has no IPv6 in patterns
        assert allows([pattern], config, url) is is_covered, "an author's tests see what the platform does"
