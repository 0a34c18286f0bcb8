"""The way out: each request is written to the platform, which makes it and knows the credential."""

import asyncio
from collections.abc import Mapping
from itertools import count

import msgspec
from fairlead_sdk.errors import OutcomeUnknown, Refused
from fairlead_sdk.outbound import HttpAnswer

from fairlead_sandbox.faults import error_of
from fairlead_sandbox.wire import HttpAnswered, HttpOutcome, HttpRequest, Malformed, frame, packed

_OUTCOME: msgspec.json.Decoder[HttpOutcome] = msgspec.json.Decoder(HttpOutcome)


class Egress:
    """Answers find their requests by number."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, max_bytes: int) -> None:
        self._reader, self._writer, self._max_bytes = reader, writer, max_bytes
        self._numbers = count(1)
        self._waiting: dict[int, asyncio.Future[HttpOutcome]] = {}

    async def listen(self) -> None:
        """Until the platform hangs up."""
        try:
            while True:
                outcome = await frame(self._reader, _OUTCOME, self._max_bytes)
                waiting = self._waiting.get(outcome.number)
                if waiting and not waiting.done():
                    waiting.set_result(outcome)
        except (asyncio.IncompleteReadError, Malformed, OSError):
            for waiting in self._waiting.values():
                if not waiting.done():
                    waiting.set_exception(OutcomeUnknown("the way out was closed", "egress_closed"))

    async def ask(self, request: HttpRequest) -> HttpOutcome:
        waiting: asyncio.Future[HttpOutcome] = asyncio.get_running_loop().create_future()
        self._waiting[request.number] = waiting
        try:
            self._writer.write(packed(request))
            await self._writer.drain()
            return await waiting
        finally:
            del self._waiting[request.number]

    def number(self) -> int:
        return next(self._numbers)


class CallHttp:
    """`fairlead_sdk.Http` for one call; once that is over it reaches nothing."""

    def __init__(self, egress: Egress, ticket: str) -> None:
        self._egress, self._ticket = egress, ticket
        self._over = False

    def end(self) -> None:
        self._over = True

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
        if self._over:
            raise Refused("the call that this way out belongs to is over", "egress_denied")
        request = HttpRequest(
            ticket=self._ticket,
            number=self._egress.number(),
            method=method,
            url=url,
            headers=dict(headers or {}),
            body=bytes(body),
            authorized=authorized,
            timeout_s=timeout_s,
            max_bytes=max_bytes,
        )
        outcome = await self._egress.ask(request)
        if isinstance(outcome, HttpAnswered):
            return HttpAnswer(status=outcome.status, headers=outcome.headers, body=outcome.body)
        raise error_of(outcome.fault)
