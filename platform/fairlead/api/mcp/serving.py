"""The methods of the protocol, of both eras."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from msgspec import UNSET, Struct

from fairlead.api.acting import Act
from fairlead.api.admission import Admission
from fairlead.api.asked_calls import AskedCall, as_of_now, course, until_final
from fairlead.api.live_events import LiveEvents
from fairlead.api.mcp import calling, offers
from fairlead.api.mcp.eras import CLIENT_KEY, VERSIONS, Era, dressed, negotiated
from fairlead.api.mcp.messages import (
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    Message,
    RequestId,
    RpcError,
    as_event,
    progress,
    result,
)
from fairlead.api.mcp.sessions import (
    RUN,
    SESSION_ID,
    Driven,
    Sessions,
    check_is_driven,
    rules_of,
    under_way,
    workflow_of,
)
from fairlead.api.parts import ApiParts
from fairlead.domain.envelope import StreamRef
from fairlead.domain.errors import FairleadError, Invalid, NotFound, Rejected, Unavailable
from fairlead.domain.runs import commands as c
from fairlead.domain.runs.errors import RunNotActive
from fairlead.domain.runs.rules import WorkflowRules
from fairlead.domain.runs.states import Ask

SERVER = {"name": "fairlead", "title": "Fairlead", "version": version("fairlead")}
CAPABILITIES: dict[str, Any] = {"tools": {}}
NO_OUTPUTS: tuple[Any, ...] = ({}, None)  # of a session that ends without saying what came of it
_FRESH = {"ttlMs": 0, "cacheScope": "private"}


class Answer(Struct, frozen=True):
    """One message, with headers that go with it."""

    body: bytes
    headers: dict[str, str] = {}


class Waiting(Struct, frozen=True, kw_only=True):
    """A call that was asked for, or is asked about again."""

    stream: StreamRef
    ask: Ask
    wait_s: float
    rounds: int = 0


@dataclass(frozen=True, kw_only=True)
class Request:
    """Everything that a method may need."""

    act: Act
    parts: ApiParts
    live: LiveEvents
    admission: Admission
    sessions: Sessions
    headers: Mapping[str, str]
    message: Message
    era: Era
    takes_events: bool

    @property
    def id(self) -> RequestId:
        assert self.message.id is not UNSET, "a notification is not answered"
        return self.message.id

    @property
    def progress_token(self) -> Any:
        token = self.message.meta.get("progressToken")
        return token if isinstance(token, str | int) and not isinstance(token, bool) else None

    @property
    def client(self) -> str:
        """What it calls itself."""
        told = self.message.params.get("clientInfo") if self.era == "handshake" else self.message.meta.get(CLIENT_KEY)
        name = told.get("name") if isinstance(told, dict) else None
        return name if isinstance(name, str) else ""

    async def driven(self) -> Driven:
        if self.era == "handshake":
            return await self.sessions.of(self.act, self.parts, self.headers)
        return await self.sessions.current(self.act, self.parts, self.headers, self.client)

    def answer(self, found: dict[str, Any], **headers: str) -> Answer:
        return Answer(result(self.id, dressed(found, self.era, SERVER)), headers)


async def serve(request: Request) -> Answer | AsyncGenerator[bytes]:
    """Raises RpcError, and what decisions raise."""
    match request.era, request.message.method:
        case "handshake", "initialize":
            return await _initialize(request)
        case "handshake", "ping":
            await request.driven()
            return request.answer({})
        case "stateless", "server/discover":
            rules = await _rules(request)
            shown = {"supportedVersions": [*VERSIONS], "capabilities": CAPABILITIES}
            return request.answer(shown | _FRESH | {"instructions": offers.instructions(rules.workflow)})
        case _, "tools/list":
            if request.message.params.get("cursor") is not None:
                raise RpcError(INVALID_PARAMS, "there is one page")
            fresh = _FRESH if request.era == "stateless" else {}
            return request.answer({"tools": offers.listed(await _rules(request))} | fresh)
        case _, "tools/call":
            return await _call(request)
    raise RpcError(METHOD_NOT_FOUND, "there is no such method here")


async def _initialize(request: Request) -> Answer:
    await request.admission.check()
    session_id, driven = await request.sessions.begin(request.act, request.parts, request.headers, request.client)
    shown = {
        "protocolVersion": negotiated(request.message.params.get("protocolVersion")),
        "capabilities": CAPABILITIES,
        "serverInfo": SERVER,
        "instructions": offers.instructions(driven.rules.workflow),
    }
    return request.answer(shown, **{SESSION_ID: session_id})


async def _rules(request: Request) -> WorkflowRules:
    """Of the run; before there is one, of the newest version."""
    act, parts = request.act, request.parts
    if request.era == "handshake":
        return await rules_of(act, parts, request.sessions.named(act, parts, request.headers)[0])
    if (named := request.headers.get(RUN)) is not None:
        return await rules_of(act, parts, named)
    rules = (await parts.starter.offered(act.principal, workflow_of(act, request.headers))).rules
    check_is_driven(rules)
    return rules


# --- calls ---


async def _call(request: Request) -> Answer | AsyncGenerator[bytes]:
    name, arguments = request.message.params.get("name"), request.message.params.get("arguments")
    if not isinstance(name, str) or not name:
        raise RpcError(INVALID_PARAMS, "name must be the name of a tool")
    arguments = {} if arguments is None else arguments
    if not isinstance(arguments, dict):
        raise RpcError(INVALID_PARAMS, "arguments must be an object")
    if name in (offers.FINISH, offers.GIVE_UP):
        return request.answer(await _end(request, name, arguments))
    waiting = await _asked(request, name, arguments)
    if request.takes_events and request.progress_token is not None:
        return _streamed(request, waiting)
    shown = await until_final(request.parts, request.live, waiting.stream, waiting.ask, waiting.wait_s)
    return request.answer(calling.told(shown, request.era, waiting.rounds))


async def _asked(request: Request, name: str, arguments: dict[str, Any]) -> Waiting:
    act, parts = request.act, request.parts
    state = request.message.params.get("requestState") if request.era == "stateless" else None
    if state is not None:
        call_id, rounds = calling.named_in(state)
        stream, ask = await calling.asked_before(act, parts, call_id)
        return Waiting(stream=stream, ask=ask, wait_s=calling.WAIT_S, rounds=rounds)
    if name == offers.AWAIT:
        if request.era == "handshake":
            request.sessions.named(act, parts, request.headers)
        stream, ask = await calling.asked_before(act, parts, arguments.get("call_id"))
        return Waiting(stream=stream, ask=ask, wait_s=calling.wait_of(arguments), rounds=calling.MOST_ROUNDS)
    await request.admission.check()
    driven = await request.driven()
    ask = await calling.ask(act, parts, driven, request.id, name, arguments)
    return Waiting(stream=driven.stream, ask=ask, wait_s=calling.WAIT_S)


async def _streamed(request: Request, waiting: Waiting) -> AsyncGenerator[bytes]:
    """Progress for as long as it takes, up to the end of the wait; then the answer.

    In the stateless era a client that goes away has cancelled: what nobody makes yet is then withdrawn.
    """
    step, shown = 0, await as_of_now(request.parts, waiting.stream, waiting.ask)
    try:
        with suppress(Unavailable):
            async with aclosing(_moves(request, waiting)) as moves:
                async for shown in moves:
                    if shown.is_final:
                        break
                    step += 1
                    yield as_event(progress(request.progress_token, step, calling.said_of(shown)))
        yield as_event(request.answer(calling.told(shown, request.era, waiting.rounds)).body)
    except (asyncio.CancelledError, GeneratorExit):
        if request.era == "stateless":
            request.sessions.afterwards(_withdraw(request, waiting.stream, waiting.ask, "the client went away"))
        raise


def _moves(request: Request, waiting: Waiting) -> AsyncGenerator[AskedCall]:
    return course(request.parts, request.live, waiting.stream, waiting.ask, waiting.wait_s)


async def _end(request: Request, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    driven, who, now = await request.driven(), request.act.principal.principal_id, request.parts.clock.now()
    command: c.FromAgent
    if name == offers.FINISH:
        if "output" not in arguments:
            raise RpcError(INVALID_PARAMS, "output is missing")
        command = c.FinishRun(output=arguments["output"], principal_id=who, now=now)
    else:
        reason = arguments.get("reason")
        if not isinstance(reason, str) or not 0 < len(reason) <= 2_000:
            raise RpcError(INVALID_PARAMS, "reason must be a text of 1 to 2000 characters")
        command = c.GiveUpRun(reason=reason, principal_id=who, now=now)
    try:
        await request.act.handle(driven.stream, command, "end")
    except (Invalid, Rejected) as error:
        return calling.refused(error)
    said = "finished" if name == offers.FINISH else "given up"
    return {"content": [{"type": "text", "text": said}], "isError": False}


# --- what is not answered ---


async def heed(request: Request) -> None:
    """A notification. Cancelling withdraws the call, while nobody makes it."""
    if request.era == "stateless" or request.message.method != "notifications/cancelled":
        return
    cancelled = f"/{request.message.params.get('requestId')}"
    driven = await request.driven()
    for ask_id, ask in reversed(driven.run.asked.items()):
        if ask_id.endswith(cancelled) and ask.step in driven.run.asks:
            await _withdraw(request, driven.stream, ask, "cancelled by the client")
            return


async def _withdraw(request: Request, stream: StreamRef, ask: Ask, reason: str) -> None:
    who, now = request.act.principal.principal_id, request.parts.clock.now()
    command = c.WithdrawCall(call_id=ask.call_id, reason=reason, principal_id=who, now=now)
    with suppress(FairleadError):  # what cannot be withdrawn goes on, and is told to who asks for it
        await request.act.handle(stream, command, "withdraw")


async def end_session(act: Act, parts: ApiParts, sessions: Sessions, headers: Mapping[str, str]) -> None:
    """A run that the session began ends with it: finished where the workflow takes an empty output and no call is open,
    failed otherwise. Ending it twice is not an error."""
    run_id, owned = sessions.named(act, parts, headers)
    if not owned:
        return
    try:
        driven = await under_way(act, parts, run_id, owned=True)
    except (NotFound, RunNotActive):
        return
    who, now = act.principal.principal_id, parts.clock.now()
    for output in NO_OUTPUTS:
        try:
            await act.handle(driven.stream, c.FinishRun(output=output, principal_id=who, now=now), "finish")
            return
        except Invalid:
            continue
        except RunNotActive:
            return
        except Rejected:
            break
    message = "the client ended its session without finishing the run"
    failed = c.FailRun(code="session_ended", message=message, principal_id=who, now=now)
    with suppress(RunNotActive):
        await act.handle(driven.stream, failed, "fail")
