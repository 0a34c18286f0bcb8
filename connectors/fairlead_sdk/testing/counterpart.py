"""The other side of a connector under test, and the platform's way there."""

import asyncio
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from msgspec import Struct

from fairlead_sdk.auth import AuthKind
from fairlead_sdk.contract import Manifest
from fairlead_sdk.egress import allows
from fairlead_sdk.errors import AnswerTooLarge, OutcomeUnknown, Refused
from fairlead_sdk.outbound import Credential, HttpAnswer

MAX_ANSWER_BYTES = 10 * 1024 * 1024
_WAYS_OUT = frozenset(
    {
        "socket.connect",
        "socket.getaddrinfo",
        "socket.gethostbyname",
        "socket.sendto",
        "socket.bind",
        "subprocess.Popen",
        "os.system",
        "os.exec",
        "os.posix_spawn",
        "os.fork",
        "os.forkpty",
    }
)


class Request(Struct, frozen=True, kw_only=True):
    """As the counterpart sees it: `headers` by lower-case name, the credential among them."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def path(self) -> str:
        """Without host and query."""
        rest = self.url.partition("://")[2].partition("?")[0]
        return "/" + rest.partition("/")[2]


class Counterpart:
    """The other side, made anew for each check. Whatever host a request is for, it comes here."""

    async def open(self) -> None:
        """Before the first call."""

    async def close(self) -> None:
        """After the last."""

    async def answer(self, request: Request) -> HttpAnswer:
        raise Refused(f"this counterpart takes no {request.method}", "no_such_counterpart")

    async def state(self) -> Any:
        """All that matters of what calls leave behind, as data that can be compared. What a compensation leaves on
        purpose (a cancelled order) is told from what it should have undone here."""
        return None


class Example(Struct, frozen=True, kw_only=True):
    """A call of a tool that works. `first` are calls that have to come before it."""

    tool: str
    arguments: dict[str, Any]
    first: tuple["Example", ...] = ()


class RoutedHttp:
    """The platform's way out, ending at a counterpart: declared hosts only, the credential added on the way.

    `lose`: the first answer to a request that changed something does not come back.
    """

    def __init__(
        self,
        manifest: Manifest,
        config: Mapping[str, str],
        credential: Credential,
        answer: Callable[[Request], Any],
        *,
        lose: Callable[[], Any] | None = None,
    ) -> None:
        self._manifest = manifest
        self._config = config
        self._credential = credential
        self._answer = answer
        self._state = lose
        self.lost = 0
        self.denied: list[str] = []

    async def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        authorized: bool = True,
        timeout_s: float | None = None,
        max_bytes: int | None = None,
    ) -> HttpAnswer:
        if not allows(self._manifest.egress, self._config, url):
            self.denied.append(url.partition("?")[0])
            raise Refused("the host is not declared", "egress_denied")
        sent = {name.lower(): value for name, value in (headers or {}).items()}
        if authorized:
            sent |= self._credentials()
        request = Request(method=method.upper(), url=url, headers=sent, body=body)
        try:
            async with asyncio.timeout(timeout_s):
                answer = await self._delivered(request)
        except TimeoutError:
            raise OutcomeUnknown("no answer in time", "timeout") from None
        if len(answer.body) > (MAX_ANSWER_BYTES if max_bytes is None else max_bytes):
            raise AnswerTooLarge("the answer is too large")
        return answer

    async def _delivered(self, request: Request) -> HttpAnswer:
        if self._state is None or self.lost:
            return await self._received(request)
        before = await self._state()
        answer = await self._received(request)
        if before != await self._state():
            self.lost += 1
            raise OutcomeUnknown("the answer was lost", "connection_lost")
        return answer

    async def _received(self, request: Request) -> HttpAnswer:
        """Header names in lower case, as from the platform."""
        with counterparts_own():
            answer: HttpAnswer = await self._answer(request)
        headers = {name.lower(): value for name, value in answer.headers.items()}
        return HttpAnswer(status=answer.status, headers=headers, body=answer.body)

    def _credentials(self) -> dict[str, str]:
        auth, secret = self._manifest.auth, self._credential.secret
        match auth.kind:
            case AuthKind.NONE:
                return {}
            case AuthKind.API_KEY:
                return {auth.header.lower(): f"{auth.prefix}{secret}"}
            case AuthKind.BASIC:
                return {"authorization": f"Basic {self._credential.username}:{secret}"}  # readable, for the echo
            case AuthKind.OAUTH2:
                return {"authorization": f"Bearer {secret}"}


class _Guard:
    """Which ways out are shut while connector code runs. An audit hook cannot be taken away, so there is one."""

    def __init__(self) -> None:
        self.tried: list[str] | None = None
        self._hooked = False

    def arm(self) -> list[str]:
        if not self._hooked:
            sys.addaudithook(self._saw)
            self._hooked = True
        self.tried = []
        return self.tried

    def _saw(self, event: str, _arguments: tuple[Any, ...]) -> None:
        if self.tried is not None and event in _WAYS_OUT and not _theirs.get():
            self.tried.append(event)
            raise Refused("the only way out is call.http", "egress_denied")


_guard = _Guard()
_theirs: ContextVar[bool] = ContextVar("theirs", default=False)


@contextmanager
def no_way_out() -> Iterator[list[str]]:
    """Connections and programs that are tried meanwhile are refused, and listed."""
    tried = _guard.arm()
    try:
        yield tried
    finally:
        _guard.tried = None


@contextmanager
def counterparts_own() -> Iterator[None]:
    """What happens here is not the connector's doing: a counterpart may be a server that is really reached."""
    token = _theirs.set(True)
    try:
        yield
    finally:
        _theirs.reset(token)
