"""The API over real engines, with the read models following, and customers of it who each have their own tenant."""

import asyncio
import itertools
import socket
import tempfile
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import httpx2
import uvicorn
from fairlead_tenants.access import EnvironmentKind, Grant, Permission
from fairlead_tenants.ids import ApiKeyId, EnvironmentId, PrincipalId, TenantId
from litestar import Litestar

from fairlead import app
from fairlead.adapters.positions import Positions
from fairlead.adapters.postgres import Database
from fairlead.api.application import create_api
from fairlead.api.parts import ApiParts
from fairlead.domain.envelope import SYSTEM, StreamRef
from fairlead.domain.ids import CommandId
from fairlead.domain.tenants.commands import AddPerson, CreateServiceAccount, GrantRole, IssueKey, TenantCommand
from fairlead.domain.tenants.identity import principal_of
from fairlead.domain.tenants.states import Tenant
from fairlead.handling.breaker_census import BreakerCensus
from fairlead.handling.founding import Founder
from fairlead.handling.handler import Cause
from fairlead.settings import Settings
from tests.support.database import DatabaseUrls

URL = "http://fairlead.test"
BEHIND_S = 60.0
T = TypeVar("T")

_numbers = itertools.count(1)


class Patient(httpx2.AsyncBaseTransport):
    """Asks again, as it is told to, while a read model of a busy machine is behind a position that the log has."""

    def __init__(self, inner: httpx2.ASGITransport, core: app.Core) -> None:
        self._inner = inner
        self._core = core

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        async with asyncio.timeout(BEHIND_S):
            while True:
                answer = await self._inner.handle_async_request(request)
                if not await self._is_behind(request, answer):
                    return answer

    async def _is_behind(self, request: httpx2.Request, answer: httpx2.Response) -> bool:
        if request.method != "GET" or answer.status_code != 503:
            return False
        if b'"position_not_reached"' not in await answer.aread():
            return False
        return int(request.headers["Fairlead-Position"]) <= await self._core.log.last_sequence()


@dataclass(frozen=True)
class Served:
    """An API, what it was built from, and ways to be its customer."""

    api: Litestar
    parts: ApiParts
    core: app.Core

    def client(self, key: str | None = None, headers: Mapping[str, str] | None = None) -> httpx2.AsyncClient:
        sent = dict(headers or {}) | ({"Authorization": f"Bearer {key}"} if key else {})
        # An error of the application is what is tested for, so it is to be seen as an answer.
        transport = httpx2.ASGITransport(app=self.api, raise_app_exceptions=False)  # type: ignore[arg-type]
        return httpx2.AsyncClient(transport=Patient(transport, self.core), base_url=URL, headers=sent, timeout=30)

    @asynccontextmanager
    async def beside(self, **changes: Any) -> AsyncIterator["Served"]:
        """Another API over the same engines. `changes` are fields of ApiParts."""
        parts = replace(self.parts, **changes)
        api = create_api(parts)
        async with api.lifespan():
            yield Served(api, parts, self.core)

    async def customer(self, name: str) -> "Customer":
        founder = Founder(self.core.handler, self.core.ids, self.core.clock)
        founded = await founder.found(name, f"owner@{name}.example", f"Owner of {name}")
        key = await founder.issue_owner_key(founded, self.parts.keys.new)
        return Customer(self, founded.tenant_id, founded.owner_id, key.text)


@dataclass(frozen=True)
class Customer:
    """A tenant with its owner's key. What nobody can do for others through the API, like making a key, is done here."""

    served: Served
    tenant_id: TenantId
    owner_id: PrincipalId
    key: str
    clients: list[httpx2.AsyncClient] = field(default_factory=list)

    @property
    def owner(self) -> httpx2.AsyncClient:
        return self.as_key(self.key)

    def as_key(self, key: str) -> httpx2.AsyncClient:
        return self.served.client(key)

    @property
    def stream(self) -> StreamRef:
        return StreamRef(self.tenant_id, "tenant", self.tenant_id)

    async def state(self) -> Tenant:
        state = (await self.served.core.handler.load(self.stream)).state
        assert isinstance(state, Tenant)
        return state

    async def environment_id(self, kind: EnvironmentKind = "live") -> EnvironmentId:
        return next(key for key, each in (await self.state()).environments.items() if each.kind == kind)

    async def workspace_id(self) -> str:
        return next(iter((await self.state()).workspaces))

    async def person(self, *grants: Grant, **key: Any) -> tuple[PrincipalId, str]:
        """A person and the text of a key of theirs."""
        principal_id, name = PrincipalId(self.served.core.ids.new("prn")), f"person{next(_numbers)}"
        email = f"{name}@{self.tenant_id[-8:]}.example"
        now, by = self.served.core.clock.now(), principal_of(await self.state(), self.owner_id)
        added = AddPerson(principal_id=principal_id, email=email, display_name=name, by=by, now=now)
        return await self._made(added, principal_id, grants, key)

    async def service_account(self, *grants: Grant, **key: Any) -> tuple[PrincipalId, str]:
        principal_id = PrincipalId(self.served.core.ids.new("prn"))
        now, by = self.served.core.clock.now(), principal_of(await self.state(), self.owner_id)
        added = CreateServiceAccount(principal_id=principal_id, name=f"program{next(_numbers)}", by=by, now=now)
        return await self._made(added, principal_id, grants, key)

    async def _made(
        self, added: TenantCommand, principal_id: PrincipalId, grants: tuple[Grant, ...], key: Mapping[str, Any]
    ) -> tuple[PrincipalId, str]:
        await self.do(added)
        for grant in grants:
            await self.grant(principal_id, grant)
        return principal_id, await self.new_key(principal_id, **key)

    async def grant(self, principal_id: PrincipalId, grant: Grant) -> None:
        by = principal_of(await self.state(), self.owner_id)
        await self.do(GrantRole(principal_id=principal_id, grant=grant, by=by, now=self.served.core.clock.now()))

    async def new_key(
        self,
        principal_id: PrincipalId,
        kind: EnvironmentKind = "live",
        scopes: frozenset[Permission] | None = None,
        life: timedelta = timedelta(days=30),
    ) -> str:
        """A person makes their own, a service account's is made by the owner: as somebody signed in, without a key."""
        state, now = await self.state(), self.served.core.clock.now()
        owner = self.owner_id if state.members[principal_id].kind == "service_account" else principal_id
        made = self.served.parts.keys.new(kind, self.tenant_id)
        await self.do(
            IssueKey(
                by=principal_of(state, owner),
                key_id=ApiKeyId(self.served.core.ids.new("key")),
                principal_id=principal_id,
                name="for a test",
                hash=made.hash,
                last_four=made.last_four,
                environment_id=await self.environment_id(kind),
                expires_at=now + life,
                scopes=scopes,
                now=now,
            )
        )
        return made.text

    async def do(self, command: TenantCommand) -> None:
        cause = Cause(actor=SYSTEM, command_id=CommandId(self.served.core.ids.new("cmd")))
        await self.served.core.handler.handle(self.stream, command, cause)


@asynccontextmanager
async def served_api(
    nats_url: str,
    database: DatabaseUrls,
    settings: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
) -> AsyncIterator[Served]:
    """`settings` are some of `Settings`, `environment` is where connectors find theirs. The engine's tasks run until
    the end."""
    async with AsyncExitStack() as open_parts:
        made = Settings(
            nats_url=nats_url,
            database_url=database.app,
            database_engine_url=database.engine,
            data_dir=Path(open_parts.enter_context(tempfile.TemporaryDirectory(prefix="fairlead-test-"))),
            **(settings or {}),
        )
        core = await open_parts.enter_async_context(app.core(made, environment or {}, "test"))
        requests = await open_parts.enter_async_context(Database(database.app))
        positions = Positions(requests)
        census = BreakerCensus(core.log)
        await open_parts.enter_async_context(running(positions.run(), census.run(), app.engine(core)))
        models = await open_parts.enter_async_context(app.models_of(core, requests))
        parts = app.api_parts(core, requests, positions, census, models)
        api = create_api(parts)
        await open_parts.enter_async_context(api.lifespan())
        yield Served(api, parts, core)


@asynccontextmanager
async def in_a_task_of_its_own(context: AbstractAsyncContextManager[T]) -> AsyncIterator[T]:
    """For fixtures, whose ends run in another task than their beginnings: what has task groups inside minds."""
    entered: asyncio.Future[T] = asyncio.get_running_loop().create_future()
    over = asyncio.Event()

    async def hold() -> None:
        try:
            async with context as value:
                entered.set_result(value)
                await over.wait()
        except BaseException as error:
            if entered.done():
                raise
            entered.set_exception(error)

    task = asyncio.create_task(hold())
    try:
        yield await entered
    finally:
        over.set()
        await task


@asynccontextmanager
async def running(*work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """The work goes on until the block ends; then it is cancelled, and a failure of it is raised."""
    tasks = [asyncio.create_task(each) for each in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for failure in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(failure, BaseException) and not isinstance(failure, asyncio.CancelledError):
                raise failure


def a_free_port() -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    return listener


@asynccontextmanager
async def listening(api: Litestar, at: socket.socket | None = None) -> AsyncIterator[str]:
    """A real server on a free port, or the one that `at` is bound to; its URL."""
    config = uvicorn.Config(api, host="127.0.0.1", port=0, log_config=None, lifespan="off")
    server = uvicorn.Server(config)
    # With its protocol named, asyncio sends small packets at once; otherwise each answer takes 40 ms.
    with closing(at or a_free_port()) as listener:
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await serving
