"""Makes the requests of the call under way, and of no other. Credentials are added here and stay here."""

import asyncio
import socket

import msgspec
import structlog
from fairlead_sandbox.faults import fault_of
from fairlead_sandbox.wire import Fault, HttpAnswered, HttpFailed, HttpOutcome, HttpRequest, Malformed, frame, packed
from fairlead_sdk.errors import ToolError
from fairlead_sdk.outbound import Http

from fairlead.adapters.sandbox.faults import ProtocolBroken
from fairlead.adapters.sandbox.limits import Limits

_REQUEST = msgspec.json.Decoder(HttpRequest)
_log = structlog.get_logger()


class WayOut:
    """One process's socket. A request that comes while no call is served breaks the protocol."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, limits: Limits) -> None:
        self._reader, self._writer, self._limits = reader, writer, limits
        self._call: tuple[str, Http] | None = None
        self._requests = 0
        self._slots = asyncio.Semaphore(limits.requests_at_once)
        self._under_way: set[asyncio.Task[None]] = set()

    def open(self, ticket: str, http: Http) -> None:
        self._call, self._requests = (ticket, http), 0

    async def shut(self) -> None:
        """The call is over: what it still wants is not made, what is being made is given up."""
        self._call = None
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)

    def close(self) -> None:
        self._writer.close()

    async def serve(self) -> None:
        """Until the process hangs up. Raises ProtocolBroken."""
        while True:
            try:
                request = await frame(self._reader, _REQUEST, self._limits.request_bytes)
            except Malformed as fault:
                raise ProtocolBroken(f"on the way out came {fault}") from fault
            except (asyncio.IncompleteReadError, OSError):
                return
            http = self._admitted(request)
            await self._slots.acquire()
            task = asyncio.create_task(self._make(request, http))
            self._under_way.add(task)
            task.add_done_callback(self._made)

    def _admitted(self, request: HttpRequest) -> Http:
        if self._call is None or self._call[0] != request.ticket:
            raise ProtocolBroken("a request belongs to no call under way")
        self._requests += 1
        if self._requests > self._limits.requests:
            raise ProtocolBroken(f"one call makes at most {self._limits.requests} requests")
        return self._call[1]

    def _made(self, task: "asyncio.Task[None]") -> None:
        self._under_way.discard(task)
        self._slots.release()

    async def _make(self, request: HttpRequest, http: Http) -> None:
        outcome = await self._outcome(request, http)
        try:
            self._writer.write(packed(outcome))
            await self._writer.drain()
        except OSError:
            return  # the process is gone, and its call with it

    async def _outcome(self, request: HttpRequest, http: Http) -> HttpOutcome:
        most = self._limits.answer_bytes
        try:
            answer = await http.send(
                request.method,
                request.url,
                headers=request.headers,
                body=request.body,
                authorized=request.authorized,
                timeout_s=request.timeout_s,
                max_bytes=most if request.max_bytes is None else min(request.max_bytes, most),
            )
        except ToolError as error:
            return HttpFailed(number=request.number, fault=fault_of(error))
        except Exception as error:  # noqa: BLE001  # a fault of ours must not show the connector more than its name
            _log.error("egress_failed", exc_info=error)
            fault = Fault(error="OutcomeUnknown", message="the request could not be made", code="egress_failed")
            return HttpFailed(number=request.number, fault=fault)
        return HttpAnswered(number=request.number, status=answer.status, headers=dict(answer.headers), body=answer.body)


async def way_out(own_end: socket.socket, limits: Limits) -> WayOut:
    own_end.setblocking(False)
    return WayOut(*await asyncio.open_connection(sock=own_end), limits)
