"""What a request passes before its handler: who asks, how often, whether they may, and whether they asked before."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Any

import structlog
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Receive, Scope, Send

from fairlead.api import guards, positions
from fairlead.api.acting import COMMAND_ID, POSITION
from fairlead.api.audited import Recorded, is_recorded
from fairlead.api.authentication import Authenticator, SignedIn, signed_in
from fairlead.api.bodies import ApiRequest
from fairlead.api.edge import ANSWER_HEADERS
from fairlead.api.idempotency import SECRET, Answer, Asked, Idempotency, Recorder, key_of, replay, request_hash
from fairlead.api.methods import allowed_methods
from fairlead.api.parts import ApiParts
from fairlead.api.problems import MalformedBody
from fairlead.api.rate_limit import Allowance, RateLimited, RateLimiter
from fairlead.domain.ids import CommandId
from fairlead.domain.tenants.delegations import stands_in

LARGE_AT_ONCE = 2
LARGE_WITHIN_S = 30.0


class Passage:
    """One for an application: what its gate at each route shares."""

    def __init__(self, parts: ApiParts, authenticators: Sequence[Authenticator]) -> None:
        self.parts = parts
        self.authenticators = authenticators
        self.limiter = RateLimiter(parts.rate_limit)
        self.idempotency = Idempotency(parts.database)
        self._large = asyncio.Semaphore(LARGE_AT_ONCE)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """For as long as requests come."""
        try:
            yield
        finally:
            await self.idempotency.finish()

    def room_for(self, opt: Mapping[str, Any]) -> AbstractAsyncContextManager[None]:
        """Before the body is read, so that those who wait hold none."""
        return self._large if opt.get(guards.LARGE) else nullcontext()

    def gate(self, app: ASGIApp) -> ASGIApp:
        return Gate(app, self).pass_through


class Gate:
    def __init__(self, app: ASGIApp, passage: Passage) -> None:
        self._app = app
        self._passage = passage

    async def pass_through(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == ScopeType.HTTP, "there are no web sockets here"
        opt = scope["route_handler"].opt
        if opt.get(guards.OPEN):
            await self._app(scope, receive, send)
            return
        request = ApiRequest(scope, receive, send)
        who = await signed_in(self._passage.authenticators, request)
        scope["user"], scope["auth"] = who.principal, who
        self._passage.parts.tools.saw(who.tenant)
        structlog.contextvars.bind_contextvars(
            tenant_id=who.principal.tenant_id, principal_id=who.principal.principal_id
        )
        self._take_turn(who, scope)
        guards.check(
            opt, who.principal, stands_in(who.tenant, who.principal.principal_id, self._passage.parts.clock.now())
        )
        if scope["method"] == "OPTIONS":
            await _tell_methods(scope, send)
            return
        at_least = positions.position_of(scope["headers"])
        await positions.wait(self._passage.parts.positions, opt.get(guards.READS, ()), at_least)
        async with self._passage.room_for(opt):
            if opt.get(guards.LARGE):
                await _whole(request)
            await self._carry_out(request, who, send)

    def _take_turn(self, who: SignedIn, scope: Scope) -> None:
        """Raises RateLimited."""
        credential, limiter = who.principal.key_id or who.principal.principal_id, self._passage.limiter
        try:
            allowance = limiter.take(credential, time.monotonic())
        except RateLimited as refusal:
            scope["state"][ANSWER_HEADERS] = limiter.headers(Allowance(0, refusal.retry_after_s))
            raise
        scope["state"][ANSWER_HEADERS] = limiter.headers(allowance)

    async def _carry_out(self, request: ApiRequest, who: SignedIn, send: Send) -> None:
        if is_recorded(request.scope):
            send = Recorded(self._passage.parts.audit, self._passage.parts.clock, request.scope, who, send).send
        scope, key = request.scope, key_of(request.scope["headers"])
        command_id = CommandId(self._passage.parts.ids.new("cmd"))
        if scope["method"] != "POST" or key is None:
            scope["state"][COMMAND_ID] = command_id
            await self._app(scope, request.receive, send)
            return
        asked = Asked(
            tenant_id=who.principal.tenant_id,
            principal_id=who.principal.principal_id,
            key=key,
            request=self._passage.parts.keys.digest(
                request_hash(scope["method"], scope["path"], scope["query_string"], await request.body())
            ),
        )
        claimed = await self._passage.idempotency.claim(asked, command_id)
        if isinstance(claimed, Answer):
            await replay(claimed, send)
        else:
            await self._once(request, asked, claimed, send)

    async def _once(self, request: ApiRequest, asked: Asked, command_id: CommandId, send: Send) -> None:
        scope, recorder = request.scope, Recorder()
        scope["state"][COMMAND_ID] = command_id
        await self._app(scope, request.receive, recorder.send)
        answer = recorder.answer(carries_secret=bool(scope["route_handler"].opt.get(SECRET)))
        if (position := scope["state"].get(POSITION)) is not None:
            answer.headers["fairlead-position"] = str(position)
        await self._passage.idempotency.settle(asked, command_id, answer)
        await recorder.hand_over(send)


async def _whole(request: ApiRequest) -> None:
    """Whoever sends slowly does not hold the place of others for long. Raises MalformedBody, BodyTooLarge."""
    try:
        async with asyncio.timeout(LARGE_WITHIN_S):
            await request.body()
    except TimeoutError:
        raise MalformedBody(f"the body did not come within {LARGE_WITHIN_S:g} s") from None


async def _tell_methods(scope: HTTPScope, send: Send) -> None:
    """The framework's own answer leaves out methods that another handler of the same path has."""
    allow = allowed_methods(scope["litestar_app"], scope["path"]).encode()
    await send({"type": "http.response.start", "status": 204, "headers": [(b"allow", allow)]})
    await send({"type": "http.response.body", "body": b"", "more_body": False})
