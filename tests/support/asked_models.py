"""The platform in memory with providers of models: what they say is a script, and what they were asked is kept."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from fairlead_sdk.auth import NO_AUTH
from fairlead_sdk.contract import Manifest
from fairlead_sdk.models import ModelService, Wire
from fairlead_tenants.ids import TenantId

from fairlead.adapters.content_keys import MemoryContentKeys
from fairlead.domain.budgets.amounts import Caps
from fairlead.domain.budgets.commands import SetBudget
from fairlead.domain.budgets.events import AtCap
from fairlead.domain.budgets.scopes import Scope
from fairlead.domain.envelope import SYSTEM
from fairlead.domain.ids import CommandId
from fairlead.domain.models.answer import Delta, ModelAnswer
from fairlead.domain.models.assembling import pieces
from fairlead.domain.models.failures import ModelFailed, Window
from fairlead.domain.prices import PriceTable, Rates
from fairlead.domain.tenants.commands import KeepBudgets
from fairlead.handling.answer_cache import AnswerCache
from fairlead.handling.handler import Cause
from fairlead.handling.model_attempts import ModelAttempts
from fairlead.handling.model_desk import ModelDesk
from fairlead.handling.model_hosts import ModelHosts
from fairlead.handling.model_recalling import Recalling
from fairlead.handling.model_router import ModelRouter
from fairlead.handling.model_standings import ModelStandings
from fairlead.handling.model_ways import ModelWays
from fairlead.handling.prices import PriceBook
from fairlead.handling.tenant_routes import TenantRoutes
from fairlead.ports import ModelOrder
from fairlead.workers.call_limits import Bound, CallLimits
from fairlead.workers.model_gates import ModelGates, ToldLimits
from fairlead.workers.model_worker import ModelWorker
from tests.support.clock import T0
from tests.support.connections import NoAccounts
from tests.support.platform import Platform, Process
from tests.support.tenancy import BY_OWNER, OWNER, TENANT
from tests.support.thinking import said

FIRST, SECOND, DEAR = "first", "second", "dear"
ASK: dict[str, Any] = {"use": [{"provider": FIRST, "model": "m"}, {"provider": SECOND, "model": "m"}], "prompt": "Hi"}
OUTPUT_MICROS = 1_000_000  # of a million tokens: a token that may be written costs a micro


def rates(provider: str, output: int = OUTPUT_MICROS) -> Rates:
    return Rates(provider=provider, model="*", valid_from=T0, input=0, output=output)


PRICES = PriceTable(version="2026-03", rates=(rates(FIRST), rates(SECOND), rates(DEAR, 10 * OUTPUT_MICROS)))


def serving(name: str) -> Manifest:
    service = ModelService(wire=Wire.OPENAI_CHAT, base_url="https://models.example/v1")
    return Manifest(
        name=name, title=name, version="1.0.0", tools=(), auth=NO_AUTH, egress=("models.example",), models=service
    )


class Providers:
    def __init__(self) -> None:
        self.here = {name: serving(name) for name in (FIRST, SECOND, DEAR)}

    async def manifest(self, tenant_id: TenantId, connector: str) -> Manifest | None:  # noqa: ARG002  # all have them
        return self.here.get(connector)


Line = ModelAnswer | ModelFailed | Callable[[ModelOrder], Any]


class Scripted:
    """Implements `ports.Models`: gives the next line of the script for each asking, and the last one ever after."""

    def __init__(self, *script: Line) -> None:
        self._script = list(script) or [said("42")]
        self.asked: list[ModelOrder] = []
        self.arrived = asyncio.Event()

    async def ask(self, order: ModelOrder) -> ModelAnswer:
        line = await self._next(order)
        if isinstance(line, ModelFailed):
            raise line
        assert isinstance(line, ModelAnswer), "a line is an answer or a failure"
        return line

    @asynccontextmanager
    async def stream(self, order: ModelOrder) -> AsyncIterator["Pieces"]:
        line = await self._next(order)
        if isinstance(line, ModelFailed):
            raise line
        yield line if isinstance(line, Pieces) else Pieces(list(pieces(line)))

    async def _next(self, order: ModelOrder) -> Any:
        self.asked.append(order)
        self.arrived.set()
        line: Any = self._script.pop(0) if len(self._script) > 1 else self._script[0]
        if callable(line):
            line = await line(order)
        return line


class Pieces:
    """A streamed answer; what stands last may be a failure, and `before` is waited for in the middle of it."""

    def __init__(self, script: list[Delta | ModelFailed], before: asyncio.Event | None = None) -> None:
        self.windows: tuple[Window, ...] = ()
        self._script = script
        self._before = before

    async def __aiter__(self) -> AsyncIterator[Delta]:
        for at, delta in enumerate(self._script):
            if at == len(self._script) - 2 and self._before is not None:
                await self._before.wait()
            if isinstance(delta, ModelFailed):
                raise delta
            yield delta


class Thinkers:
    """What asks models in one process."""

    def __init__(self, platform: Platform, models: Scripted, name: str, process: Process | None = None) -> None:
        self._platform, self._process = platform, process or platform.main
        self.models = models
        providers = Providers()
        told = ToldLimits(CallLimits(providers, Bound(), {}))
        self.gates = self._process.gates(name, limits_of=told)
        routes = TenantRoutes(platform.log, platform.clock)
        self.recalling = Recalling(AnswerCache(platform.results, MemoryContentKeys(), platform.clock), routes)
        self.router = ModelRouter(
            routes,
            providers,
            PriceBook(platform.log, platform.clock, PRICES, {}),
            ModelHosts(platform.log, platform.clock),
            ModelStandings(platform.steady),
            ModelGates(self.gates, told),
        )
        self.attempts = ModelAttempts(
            handler=self._process.handler,
            router=self.router,
            ways=ModelWays(NoAccounts(), providers),
            models=models,
            recorded=models,
            budgets=self._process.desk,
            brake=self._process.brake,
            clock=platform.clock,
            ids=platform.ids,
            worker=name,
            recalling=self.recalling,
        )

    def worker(self, **options: Any) -> ModelWorker:
        return ModelWorker(
            log=self._platform.log,
            jobs=self._platform.jobs,
            handler=self._process.handler,
            dispatch=self._process.dispatch,
            capabilities=self._process.capabilities,
            rulebook=self._process.rulebook,
            attempts=self.attempts,
            clock=self._platform.clock,
            **{"heartbeat_s": 0.01} | options,
        )

    def desk(self) -> ModelDesk:
        return ModelDesk(
            log=self._platform.log,
            handler=self._process.handler,
            dispatch=self._process.dispatch,
            rulebook=self._process.rulebook,
            attempts=self.attempts,
        )


async def capped(platform: Platform, usd_micros: int, at_cap: AtCap = "stop") -> None:
    """A budget of the whole tenant."""
    await platform.tell_tenant(KeepBudgets(by=BY_OWNER, now=T0))
    command = SetBudget(
        name="all",
        scope=Scope(kind="tenant"),
        period="none",
        caps=Caps(usd_micros=usd_micros),
        at_cap=at_cap,
        by=OWNER,
        now=T0,
        reason="test",
    )
    cause = Cause(actor=SYSTEM, command_id=CommandId(platform.ids.new("cmd")))
    await platform.main.budgets.handle(TENANT, command, cause)


async def spent(platform: Platform) -> tuple[int, int]:
    """Reserved and spent, in micros."""
    await platform.main.desk.written()
    book = await platform.main.budgets.book(TENANT)
    accounts = book.accounts.values()
    return sum(each.reserved.usd_micros for each in accounts), sum(each.spent.usd_micros for each in accounts)
