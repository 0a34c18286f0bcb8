"""The platform in memory: processes over one log, real tools, and a tenant with one workflow.

async with Platform(tool()).at_work() as platform:
    run = await platform.start()
    state = await platform.until(run, ended)
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Self

from fairlead_sdk.contract import Tool
from fairlead_tenants.ids import PrincipalId

from fairlead.adapters.memory_jobs import MemoryJobs
from fairlead.adapters.memory_log import MemoryLog
from fairlead.adapters.memory_results import MemoryResults
from fairlead.adapters.memory_switches import MemorySwitches
from fairlead.adapters.memory_timers import MemoryTimers
from fairlead.adapters.outbound import GuardedOutbound
from fairlead.adapters.plugins import Connectors
from fairlead.adapters.throttle import LeasingThrottle, MemoryLedgers
from fairlead.consumers.executor import react
from fairlead.deciders import deciders
from fairlead.domain.approvals import NotRequested, SignApproval
from fairlead.domain.catalogue import EVENTS, UPCASTERS
from fairlead.domain.codec import Codec
from fairlead.domain.envelope import SYSTEM, Kind, Sequence, StreamRef
from fairlead.domain.ids import CommandId, RunId
from fairlead.domain.policies import PublishPolicy, Scope, policy_id, policy_stream
from fairlead.domain.policy.checks import checked
from fairlead.domain.runs.events import ToolCallApprovalRequested
from fairlead.domain.runs.states import Active, Ended, OpenCall
from fairlead.domain.tenants.commands import ChoosePolicy, CreateAgent, PolicyMove, TenantCommand
from fairlead.domain.tenants.identity import principal_of
from fairlead.domain.workflows import PublishWorkflow, workflow_id
from fairlead.handling.budget_books import BudgetBooks
from fairlead.handling.budget_desk import BudgetDesk
from fairlead.handling.capabilities import Capabilities, MarkKey
from fairlead.handling.dispatch import Dispatch
from fairlead.handling.handler import Cause, Handled, Handler
from fairlead.handling.rulebook import Rulebook
from fairlead.handling.starting import Asked, Starter
from fairlead.handling.switching import Brake, Switching
from fairlead.handling.tenant_tools import TenantTools
from fairlead.ports import Results
from fairlead.workers.alarm_worker import AlarmWorker
from fairlead.workers.batching import Batches
from fairlead.workers.breaker_board import BreakerBoard
from fairlead.workers.call_limits import Bound, CallLimits
from fairlead.workers.calling import Caller
from fairlead.workers.equipping import Equipping
from fairlead.workers.gates import Gates
from fairlead.workers.remembering import Remembering
from fairlead.workers.spending import Spending
from fairlead.workers.tool_worker import ToolWorker
from tests.support.clock import T0, ManualClock, SteadyClock
from tests.support.commits import readable
from tests.support.connections import NoAccounts
from tests.support.connectors import BillsConnector, manifest
from tests.support.documents import EXPRESSIONS, Plain, document
from tests.support.ids import SequentialIds
from tests.support.tenancy import BY_OWNER, CREATE, DEFAULT, LIVE, OWNER, TENANT

AGENT = PrincipalId("prn_payer")
EVERYWHERE = Scope()
WORKFLOW = workflow_id(TENANT, DEFAULT, "invoice-check")
THE_TENANT = StreamRef(TENANT, "tenant", TENANT)
PAYING = {"id": "pay", "call": "bills.pay", "with": {"number": "4711", "amount": 5}}
GATHER_S = 0.3  # on a busy machine too, calls of one step find each other
MARK_KEY = MarkKey("k1", b"m" * 32)
FREELY = {"rules": [{"id": "all", "effects": ["write"], "verdict": "allow", "reason": "test"}]}


class Process:
    """What one process of the platform is made of."""

    def __init__(self, platform: "Platform", tools: tuple[Tool[Any, Any], ...], version: str = "1.2.3") -> None:
        self._platform = platform
        connectors = Connectors([BillsConnector(manifest(*tools, version=version))])
        self.known = known = TenantTools(platform.log, connectors, platform.clock)
        self.rulebook = Rulebook(platform.log, known, EXPRESSIONS)
        self.capabilities = Capabilities([MARK_KEY], self.rulebook, platform.clock)
        self.dispatch = Dispatch(platform.jobs, platform.timers, self.capabilities)
        self.handler = Handler(
            platform.log, platform.clock, deciders(self.rulebook), {"run": self.dispatch.run_appended}
        )
        brake = Brake(platform.switches, platform.clock)
        self.brake = brake
        self.switching = Switching(platform.log, self.handler, platform.switches)
        self.starter = Starter(platform.log, self.handler, self.rulebook, brake, platform.clock)
        remembering = Remembering(platform.results, platform.clock)
        self.caller = Caller(known, Equipping(NoAccounts(), GuardedOutbound(), brake), remembering, Batches(GATHER_S))
        self.limits_of = CallLimits(known, Bound(), {})
        self.throttle = LeasingThrottle(platform.ledgers)
        self.budgets = BudgetBooks(platform.log, self.handler, platform.clock)
        self.desk = BudgetDesk(self.budgets, platform.clock, platform.ids)
        self.spending = Spending(self.desk, platform.clock)

    def gates(self, name: str, **options: Any) -> Gates:
        platform = self._platform
        complete: dict[str, Any] = {
            "board": BreakerBoard(platform.log, self.handler, platform.clock, platform.steady),
            "throttle": self.throttle,
            "limits_of": self.limits_of,
            "steady": platform.steady,
        } | options
        return Gates(worker_id=name, handler=self.handler, clock=platform.clock, ids=platform.ids, **complete)

    def worker(self, name: str = "w1", **options: Any) -> ToolWorker:
        options.setdefault("gates", self.gates(name))
        options.setdefault("spending", self.spending)
        return ToolWorker(
            worker_id=name,
            log=self._platform.log,
            jobs=self._platform.jobs,
            handler=self.handler,
            dispatch=self.dispatch,
            capabilities=self.capabilities,
            rulebook=self.rulebook,
            caller=self.caller,
            brake=self.brake,
            clock=self._platform.clock,
            **options,
        )


class Platform:
    """`fields` complete the workflow's document; its steps are one payment unless they say otherwise."""

    def __init__(
        self,
        *tools: Tool[Any, Any],
        lease_s: float = 0.05,
        codec: Codec | None = None,
        results: Results | None = None,
        **fields: Any,
    ) -> None:
        self.clock = ManualClock()
        self.log = MemoryLog(codec or Codec(EVENTS, UPCASTERS))
        self.jobs = MemoryJobs(lease_s)
        self.timers = MemoryTimers(self.clock, lease_s)
        self.ids = SequentialIds()
        self.ledgers = MemoryLedgers()
        self.results = results or MemoryResults()
        self.switches = MemorySwitches()
        self.steady = SteadyClock()
        self.tools = tools
        self.main = Process(self, tools)
        named = {"tools": [tool.name for tool in tools], "writes": ["payment"], "policy": FREELY, "steps": [PAYING]}
        self.document: Plain = document(**(named | fields))

    @asynccontextmanager
    async def at_work(self, workers: int = 1, **options: Any) -> AsyncIterator[Self]:
        await self.prepare()
        async with running(
            *(self.main.worker(f"w{number}", **options).run() for number in range(1, workers + 1)),
            self.carry_approvals(),
            AlarmWorker(self.timers, self.main.handler, self.clock).run(),
        ):
            yield self

    async def prepare(self) -> None:
        """A tenant with its agent and the published workflow."""
        agent = CreateAgent(
            principal_id=AGENT, name="payer", workflow_id=WORKFLOW, workspace_id=DEFAULT, by=BY_OWNER, now=T0
        )
        for command in (CREATE, agent):
            await self.tell_tenant(command)
        published = PublishWorkflow(
            workspace_id=DEFAULT,
            name="invoice-check",
            document=self.document,
            reason="test",
            agent_principal_id=AGENT,
            tool_versions={},
        )
        await self.handle(StreamRef(TENANT, "workflow", WORKFLOW), published)

    async def tell_tenant(self, command: TenantCommand) -> Handled:
        return await self.handle(THE_TENANT, command)

    async def enforce(
        self, *rules: Plain, scope: Scope = EVERYWHERE, move: PolicyMove = "enforce", **fields: Any
    ) -> int:
        """Publish a policy of these rules and choose it. Gives its version."""
        document = {"fairlead_policy": 1, "rules": [{"reason": "test", **rule} for rule in rules], **fields}
        checked(document, EXPRESSIONS)
        stream = policy_stream(TENANT, scope)
        version: int = (
            await self.handle(stream, PublishPolicy(scope=scope, document=document, reason="test"))
        ).state.version
        await self.choose(move, version, scope)
        return version

    async def choose(self, move: PolicyMove, version: int | None, scope: Scope = EVERYWHERE) -> None:
        choice = ChoosePolicy(
            by=BY_OWNER,
            now=self.clock.now(),
            policy_id=policy_id(TENANT, scope),
            workspace_id=scope.workspace_id,
            workflow=scope.workflow,
            move=move,
            version=version,
            reason="test",
        )
        await self.tell_tenant(choice)

    async def handle(self, stream: StreamRef, command: Any) -> Handled:
        return await self.main.handler.handle(stream, command, self.cause())

    def cause(self) -> Cause:
        return Cause(actor=SYSTEM, command_id=CommandId(self.ids.new("cmd")))

    async def start(self, given: Any = None) -> StreamRef:
        owner = principal_of((await self.main.handler.load(THE_TENANT)).state, OWNER)
        run_id = RunId(self.ids.new("run"))
        asked = Asked(run_id=run_id, workflow_id=WORKFLOW, input=given or {}, environment_id=LIVE)
        run = StreamRef(TENANT, "run", run_id)
        await self.handle(run, await self.main.starter.start(owner, asked))
        return run

    async def carry_approvals(self) -> None:
        """The executor, as its runner would run it."""
        async with self.log.share("executor", ("approval",)) as shares:
            async for delivery in shares:
                for recorded in readable(delivery.recorded):
                    for stream, command in react(recorded):
                        await self.handle(stream, command)
                await delivery.ack()

    async def until(self, stream: StreamRef, holds: Callable[[Any], bool]) -> Any:
        """The state of a stream, as soon as it is as wanted."""
        kinds: tuple[Kind, ...] = (stream.kind,)
        async with asyncio.timeout(5), self.log.follow(Sequence(0), kinds) as batches:
            async for _ in batches:
                state = (await self.main.handler.load(stream)).state
                if holds(state):
                    return state
        raise AssertionError("a log is followed without end")

    async def history(self, stream: StreamRef) -> list[Any]:
        return [event for recorded in await self.log.read(stream) for event in recorded.commit.events]

    async def approval_of(self, run: StreamRef) -> StreamRef:
        """The approval that the run's only call waits for, once people can see it."""
        state = await self.until(run, lambda state: the_call(state).phase == "awaiting_approval")
        approval = StreamRef(TENANT, "approval", asked_of(state).approval_id)
        await self.until(approval, lambda state: not isinstance(state, NotRequested))
        return approval

    async def sign(self, approval: StreamRef, who: str = "ann") -> None:
        asked = (await self.main.handler.load(approval)).state.asked
        signature = SignApproval(
            principal_id=PrincipalId(f"prn_{who}"),
            principal_kind="person",
            role_names=("reviewer",),
            digest=asked.digest,
            comment="",
            now=self.clock.now(),
        )
        await self.handle(approval, signature)


def the_call(state: Any) -> OpenCall:
    assert isinstance(state, Active), state
    (call,) = state.calls.values()
    return call


def asked_of(state: Any) -> ToolCallApprovalRequested:
    asked = the_call(state).approval
    assert asked is not None, "the call waits for an approval, or has one"
    return asked


def ended(state: Any) -> bool:
    return isinstance(state, Ended)


@asynccontextmanager
async def running(*loops: Coroutine[Any, Any, None] | Awaitable[None]) -> AsyncIterator[list[asyncio.Task[None]]]:
    """Loops that run beside a test, and end with it. One that breaks fails the test."""
    tasks = [asyncio.ensure_future(loop) for loop in loops]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
    broken = [end for end in ends if end is not None and not isinstance(end, asyncio.CancelledError)]
    assert not broken, broken
