"""Speaks to the REST API: one connection, the key in a header, repeats what may be repeated.

Every write carries an idempotency key, so that a write whose answer was lost is sent again and happens once. The
position of the last write goes with later reads, so that a command sees what it did.
"""

import random
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any, Literal, Self
from urllib.parse import quote, urlsplit

import httpx2
import msgspec
from msgspec import Struct
from uuid_utils.compat import uuid7

from fairlead.cli.exits import Exit
from fairlead.cli.failures import Failure, of_answer
from fairlead.cli.targets import Target, is_loopback

MAX_ATTEMPTS = 5
FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 5.0  # a server that asks for more is reported instead
PAGE = 100
CONNECT_WITHIN_S = 5.0
SILENCE_S = 60.0
_POSITION = "Fairlead-Position"
_LATER = frozenset({429, 502, 503, 504})
_CONFLICT = 409
_TIMEOUT = httpx2.Timeout(30.0, connect=CONNECT_WITHIN_S)

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
Params = Mapping[str, str | int | bool | None]


def path(*parts: str) -> str:
    """Of a resource: what comes from the command line cannot leave its place in it."""
    return "/v1/" + "/".join(quote(part, safe="") for part in parts)


class Answer(Struct, frozen=True, kw_only=True):
    """`body` is None where there was none."""

    body: Any
    etag: str | None = None
    location: str | None = None


class Api:
    """`sleep` is a parameter so that tests need not wait."""

    def __init__(self, target: Target, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self.target = target
        self._sleep = sleep
        self._position = "0"
        url = urlsplit(target.url)
        self._client = httpx2.Client(
            base_url=target.url,
            # Reading whom the system trusts takes longer than a request; where nothing is signed it is for nothing.
            verify=url.scheme == "https" or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
            headers={"Authorization": f"Bearer {target.key}", "User-Agent": f"fairlead-cli/{version('fairlead')}"},
            timeout=_TIMEOUT,
            follow_redirects=False,  # the key goes where it was meant to go
            trust_env=not is_loopback(url.hostname or ""),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._client.close()

    def get(self, path: str, params: Params | None = None) -> Answer:
        """Raises Failure, as all methods here do."""
        return self._ask("GET", path, params=params)

    def post(
        self, path: str, body: Any = None, *, params: Params | None = None, idempotency_key: str | None = None
    ) -> Answer:
        content = None if body is None else msgspec.json.encode(body)
        headers = {"Idempotency-Key": idempotency_key or str(uuid7())}
        return self._ask("POST", path, params=params, content=content, headers=headers)

    def delete(self, path: str, params: Params | None = None) -> Answer:
        return self._ask("DELETE", path, params=params)

    def send(
        self,
        method: Method,
        path: str,
        content: bytes,
        media_type: str,
        params: Params | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """A document as it is. Only where sending it twice does what sending it once does."""
        return self._ask(method, path, params=params, content=content, media_type=media_type, headers=headers)

    def put(self, path: str, body: Any, headers: Mapping[str, str] | None = None) -> Answer:
        return self._ask("PUT", path, content=msgspec.json.encode(body), headers=headers)

    def patch(self, path: str, body: Any) -> Answer:
        return self._ask("PATCH", path, content=msgspec.json.encode(body))

    def pages(self, path: str, params: Params | None = None, *, limit: int | None = None) -> Iterator[Any]:
        """Items of a list, page by page, up to `limit`; None is all."""
        left, cursor = limit, None
        while left is None or left > 0:
            size = PAGE if left is None else min(PAGE, left)
            page = self.get(path, {**(params or {}), "limit": size, "cursor": cursor}).body
            yield from page["items"]
            cursor = page.get("next_cursor")
            if cursor is None:
                return
            left = None if left is None else left - len(page["items"])

    @contextmanager
    def stream(
        self,
        path: str,
        params: Params | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        silence_s: float = SILENCE_S,
    ) -> Iterator[httpx2.Response]:
        """An answer that is read as it comes; one that says nothing for `silence_s` has lost its server.

        Nothing is repeated here: the caller knows from where to go on.
        """
        timeout = httpx2.Timeout(silence_s, connect=CONNECT_WITHIN_S)
        sent = {**self._later_headers(), **(headers or {})}
        with (
            translated(self.target.url),
            self._client.stream("GET", path, params=_given(params), headers=sent, timeout=timeout) as response,
        ):
            if not response.is_success:
                raise of_answer(response.status_code, response.read())
            yield response

    def pause(self, seconds: float) -> None:
        """Before a caller asks again by itself."""
        self._sleep(seconds)

    def has_seen(self, position: str) -> None:
        """Later reads are to know at least what an event at this position says."""
        sequence = position.partition("-")[0]
        self._position = max(sequence, self._position, key=int)

    def _ask(
        self,
        method: Method,
        path: str,
        *,
        params: Params | None = None,
        content: bytes | None = None,
        media_type: str = "application/json",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        sent = {**self._later_headers(), **(headers or {})}
        if content is not None:
            sent["Content-Type"] = media_type
        request = self._client.build_request(method, path, params=_given(params), content=content, headers=sent)
        response = self._answered(request)
        if not response.is_success:
            raise of_answer(response.status_code, response.content)
        self.has_seen(response.headers.get(_POSITION, "0"))
        return Answer(
            body=_decoded(response), etag=response.headers.get("ETag"), location=response.headers.get("Location")
        )

    def _answered(self, request: httpx2.Request) -> httpx2.Response:
        """The first answer that is not "later". Safe to repeat: reads, and writes with an idempotency key."""
        for attempt in range(1, MAX_ATTEMPTS):
            try:
                response = self._client.send(request)
            except httpx2.TransportError:
                self._sleep(_pause_s(attempt))
            else:
                if (pause_s := _asked_pause_s(response, attempt)) is None:
                    return response
                self._sleep(pause_s)
        with translated(self.target.url):
            return self._client.send(request)

    def _later_headers(self) -> dict[str, str]:
        return {_POSITION: self._position} if self._position != "0" else {}


@contextmanager
def translated(url: str) -> Iterator[None]:
    try:
        yield
    except httpx2.TransportError as error:
        raise _unreachable(url, error) from error


def _unreachable(url: str, error: httpx2.TransportError) -> Failure:
    details = (f"{type(error).__name__}: {error}", "is it running, and is the address right?")
    return Failure(f"{url} does not answer", Exit.UNAVAILABLE, details=details)


def _asked_pause_s(response: httpx2.Response, attempt: int) -> float | None:
    """How long to wait before asking again; None when the answer stands.

    A conflict that says when to ask again is a passing one: another try of this very request is still under way.
    """
    asked = response.headers.get("Retry-After", "")
    if response.status_code not in _LATER and not (response.status_code == _CONFLICT and asked):
        return None
    pause_s = float(asked) if asked.isdecimal() else _pause_s(attempt)
    return pause_s if pause_s <= LONGEST_PAUSE_S else None


def _pause_s(attempt: int) -> float:
    longest: float = FIRST_PAUSE_S * 2**attempt
    return random.uniform(longest / 2, longest)  # noqa: S311  # spreads callers, guards nothing


def _given(params: Params | None) -> dict[str, str | int]:
    return {
        name: str(value).lower() if isinstance(value, bool) else value
        for name, value in (params or {}).items()
        if value is not None
    }


def _decoded(response: httpx2.Response) -> Any:
    return json_in(response.content) if response.content else None


def json_in(content: bytes | str) -> Any:
    """Raises Failure."""
    try:
        return msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Failure("the server's answer is not JSON: is the address that of a Fairlead server?") from error
