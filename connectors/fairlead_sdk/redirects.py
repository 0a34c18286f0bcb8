"""Following redirects where a tool wants to: each hop is a request like any other, checked by the platform."""

import re
from collections.abc import Mapping

from fairlead_sdk.errors import Refused
from fairlead_sdk.outbound import Http, HttpAnswer

MAX_HOPS = 5

_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*):(?P<authority>//[^/?#]*)(?P<path>[^?#]*)(?:[?#].*)?")
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PRIVATE = frozenset({"authorization", "cookie"})
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


async def follow(
    http: Http,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    authorized: bool = True,
    max_bytes: int | None = None,
) -> HttpAnswer:
    """GET, through at most five redirects. The first to another origin leaves every credential behind, for good.

    Writes are not for this: whoever redirects them may have carried them out. Raises what `Http.send` raises.
    """
    given = dict(headers or {})
    for _ in range(MAX_HOPS + 1):
        answer = await http.send("GET", url, headers=given, authorized=authorized, max_bytes=max_bytes)
        location = answer.headers.get("location")
        if answer.status not in _REDIRECTS or not location:
            return answer
        onward = joined(url, location)
        if origin(onward) != origin(url):
            given, authorized = {name: given[name] for name in given if name.lower() not in _PRIVATE}, False
        url = onward
    raise Refused(f"the counterpart redirects more than {MAX_HOPS} times", "redirected")


def origin(url: str) -> tuple[str, str]:
    """Scheme and authority in one spelling. Raises Refused for what is no absolute address."""
    parts = _parts(url)
    scheme = parts["scheme"].lower()
    return scheme, parts["authority"].lower().removesuffix(_DEFAULT_PORTS.get(scheme, ""))


def joined(base: str, reference: str) -> str:
    """Where a reference in an answer from `base` leads, by RFC 3986 section 5.2. A fragment is dropped."""
    target = reference.partition("#")[0]
    parts = _parts(base)
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", target):
        return target
    if target.startswith("//"):
        return f"{parts['scheme']}:{target}"
    root, here = f"{parts['scheme']}:{parts['authority']}", parts["path"] or "/"
    path, mark, query = target.partition("?")
    if not path:
        return f"{root}{here}{mark}{query}" if mark else base.partition("#")[0]
    whole = path if path.startswith("/") else f"{here.rpartition('/')[0]}/{path}"
    return f"{root}{_without_dots(whole)}{mark}{query}"


def _without_dots(path: str) -> str:
    kept: list[str] = []
    segments = path.split("/")[1:]
    for segment in segments:
        if segment == "..":
            kept = kept[:-1]
        elif segment != ".":
            kept.append(segment)
    ends_open = segments[-1] in (".", "..")
    return "/" + "/".join([*kept, ""] if ends_open and kept else kept)


def _parts(url: str) -> re.Match[str]:
    found = _URL.fullmatch(url)
    if found is None:
        raise Refused("the address is not absolute", "egress_denied")
    return found
