"""Where the next page is, by each of the ways in which services tell."""

import re
from typing import Any
from urllib.parse import quote

from fairlead_sdk import BadArguments, HttpAnswer, Refused
from fairlead_sdk.redirects import joined, origin

from fairlead_http.hints import Pagination

_LINK = re.compile(r"<([^<>]*)>([^<]*)")
_NEXT = re.compile(r";\s*rel\s*=\s*(?:\"(?:[^\"]*\s)?next(?:\s[^\"]*)?\"|next\b)", re.IGNORECASE)
_COUNT = re.compile(r"[0-9]{1,12}")


class Pages:
    """Of one call. `next` is what another call gives as `next_page` to go on; it is nothing but data to us.

    An address that comes back as an argument stays within the service's own origin.
    """

    def __init__(self, pagination: Pagination, url: str, begin: str | None) -> None:
        self._how = pagination
        self._url = url
        self.body: Any = None
        self.next: str | None = begin
        self.address: str | None = None
        self._asked: set[str] = set()
        self._take(begin)

    def query(self, given: list[str]) -> list[str]:
        """With the parameter of this page instead of the caller's own."""
        name = self._how.parameter
        if self._how.style == "link" or self.next is None or name is None:
            return given
        own = quote(name, safe="")
        return [*(pair for pair in given if not pair.startswith(f"{own}=")), f"{own}={quote(self.next, safe='')}"]

    def add(self, body: Any, answer: HttpAnswer) -> None:
        """Raises Refused when the service leads in a circle."""
        before, self.body = self.body, body
        items = _at(body, self._how.items)
        if before is not None:
            self.body = _replaced(body, self._how.items, [*_list(_at(before, self._how.items)), *_list(items)])
        self._take(self._after(body, _list(items), answer))
        if self.next is not None:
            if self.next in self._asked:
                raise Refused("the service's pages lead in a circle", "circular_pages")
            self._asked.add(self.next)

    def _take(self, following: str | None) -> None:
        self.next = following
        if self._how.style == "link" and following is not None:
            self.address = joined(self._url, following)
            if origin(self.address) != origin(self._url):
                raise Refused("the next page is at another service", "foreign_page")
        elif self._how.style in ("offset", "page") and following is not None and not _COUNT.fullmatch(following):
            raise BadArguments("next_page is what an earlier answer gave", "bad_page")

    def _after(self, body: Any, items: list[Any], answer: HttpAnswer) -> str | None:
        match self._how.style:
            case "link":
                return _next_link(answer.headers.get("link", ""), self._url)
            case "cursor":
                return _cursor(_at(body, self._how.next))
        if not items or (self._how.more is not None and not _at(body, self._how.more)):
            return None
        at = int(self.next) if self.next is not None else (0 if self._how.style == "offset" else self._how.first)
        return str(at + (len(items) if self._how.style == "offset" else 1))


def _next_link(header: str, url: str) -> str | None:
    for target, parameters in _LINK.findall(header[:20_000]):
        if _NEXT.search(parameters):
            return joined(url, target)
    return None


def _cursor(value: Any) -> str | None:
    """Nothing, an empty text and `false` are the end."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    return str(value)[:4000] or None


def _at(body: Any, path: str | None) -> Any:
    for name in path.split(".") if path else ():
        body = body.get(name) if isinstance(body, dict) else None
    return body


def _replaced(body: Any, path: str | None, items: list[Any]) -> Any:
    if not path:
        return items
    name, _, rest = path.partition(".")
    return {**body, name: _replaced(body[name], rest, items)} if isinstance(body, dict) and name in body else body


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
