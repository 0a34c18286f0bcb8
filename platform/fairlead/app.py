"""Composition root: the only file that builds adapters and hands them out.

`core` is what every role needs; `engine`, `worker` and `api` are the roles, each a coroutine that runs until cancelled.
"""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from msgspec import Struct

from fairlead import accounts, ledgers
from fairlead.adapters.capability_keys import capability_keys
from fairlead.adapters.cel import CelExpressions
from fairlead.adapters.clock import SystemClock
from fairlead.adapters.connector_packages import ConnectorPackages
from fairlead.adapters.ids import UuidIds
from fairlead.adapters.nats_blobs import NatsBlobs
from fairlead.adapters.nats_connection import NatsConnection
from fairlead.adapters.nats_jobs import NatsJobs
from fairlead.adapters.nats_log import NatsLog
from fairlead.adapters.nats_objects import NatsObjects
from fairlead.adapters.nats_removal import NatsRemoval
from fairlead.adapters.nats_results import NatsResults
from fairlead.adapters.nats_switches import FRESH_S, NatsSwitches
from fairlead.adapters.nats_timers import NatsTimers
from fairlead.adapters.outbound import GuardedOutbound
from fairlead.adapters.plugins import Connectors, load_connectors, third_party
from fairlead.adapters.published_connectors import PublishedConnectors
from fairlead.adapters.sandbox.limits import MIB, Limits
from fairlead.adapters.sandbox.sandbox import Sandbox
from fairlead.adapters.throttle import LeasingThrottle, NatsLedgers
from fairlead.adapters.vault.keys import vault_keys
from fairlead.consumers import (
    access_directory,
    accesses,
    approval_notices,
    approvals,
    breakers,
    cases,
    connection_uses,
    connections,
    dead_letters,
    executor,
    expiries,
    open_work,
    policy_versions,
    reconnecting,
    run_board,
    run_commits,
    switch_mirror,
    switch_pauses,
    toolset_versions,
    webhooks,
    workflow_versions,
)
from fairlead.consumers.idempotency_sweep import IdempotencySweep
from fairlead.consumers.process_runner import Handle, ProcessManager, ProcessRunner
from fairlead.consumers.projection import Projection
from fairlead.consumers.projection_runner import ProjectionRunner
from fairlead.consumers.retention_sweep import RetentionSweep
from fairlead.domain import approvals as approval
from fairlead.domain import breakers as breaker
from fairlead.domain import cases as case
from fairlead.domain import expiries as expiry
from fairlead.domain import policies as policy
from fairlead.domain import retention
from fairlead.domain import tallies as tally
from fairlead.domain import toolsets as toolset
from fairlead.domain import workflows as workflow
from fairlead.domain.budgets import decide as budget_decisions
from fairlead.domain.budgets import states as budget_states
from fairlead.domain.catalogue import EVENTS, UPCASTERS
from fairlead.domain.codec import Codec
from fairlead.domain.envelope import Kind
from fairlead.domain.expressions import Expressions
from fairlead.domain.runs import decide as run_decisions
from fairlead.domain.runs import states as run_states
from fairlead.domain.runs.commands import ForkRun, StartRun
from fairlead.domain.webhooks import subscription as webhook
from fairlead.handling.access_audit import AccessAudit
from fairlead.handling.approval_links import ApprovalLinks
from fairlead.handling.breaker_census import BreakerCensus
from fairlead.handling.budget_books import BudgetBooks
from fairlead.handling.capabilities import Capabilities
from fairlead.handling.contents import Contents
from fairlead.handling.dispatch import Dispatch
from fairlead.handling.handler import Decider, Handler
from fairlead.handling.places import supplied
from fairlead.handling.reconnecting import AccessCheck, Reconnector
from fairlead.handling.rulebook import Rulebook
from fairlead.handling.starting import Starter
from fairlead.handling.switching import Brake, Switching
from fairlead.handling.telling import Telling
from fairlead.handling.tenant_tools import TenantTools
from fairlead.ports import (
    Clock,
    ContentKeys,
    Ids,
    Jobs,
    Log,
    LogCopies,
    LogRemoval,
    ObjectStores,
    Results,
    Switches,
    Throttle,
    Timers,
    Unfinished,
)
from fairlead.registry import SWITCHES, TENANTS, connected, log_of
from fairlead.settings import Settings
from fairlead.webhook_parts import WebhookParts
from fairlead.workers.alarm_worker import AlarmWorker
from fairlead.workers.breaker_board import BreakerBoard
from fairlead.workers.call_limits import Bound, CallLimits
from fairlead.workers.calling import Caller
from fairlead.workers.equipping import Equipping
from fairlead.workers.gates import Gates
from fairlead.workers.remembering import Remembering
from fairlead.workers.run_watch import RunWatch
from fairlead.workers.switch_keeper import SwitchKeeper
from fairlead.workers.tool_worker import ToolWorker

# What only one role needs is imported by it: litestar alone takes a second, and the others start without it.
if TYPE_CHECKING:
    from fairlead.adapters.content_keys import PostgresContentKeys
    from fairlead.adapters.positions import Lag, Positions
    from fairlead.adapters.postgres import Database
    from fairlead.api.parts import ApiParts

KEY_CONNECTIONS = 4  # of a process, to look keys of content up
CONNECTOR_PREFIX = "FAIRLEAD_CONNECTOR_"

PROJECTIONS: tuple[Projection, ...] = (
    access_directory,
    workflow_versions,
    run_commits,
    run_board,
    approvals,
    open_work,
    connections,
    connection_uses,
    toolset_versions,
    dead_letters,
    breakers,
    switch_pauses,
    policy_versions,
    webhooks,
    accesses,
    cases,
    expiries,
)
PROCESS_MANAGERS: tuple[ProcessManager, ...] = (executor, reconnecting, switch_mirror)


class Core(Struct, frozen=True, kw_only=True):
    """What every role is built from. One per process. `sealed_log` is the log for those who must not see content: what
    they store stays sealed."""

    settings: Settings
    clock: Clock
    ids: Ids
    log: Log
    sealed_log: Log
    contents: Contents
    content_keys: ContentKeys
    copies: LogCopies
    removal: LogRemoval
    jobs: Jobs
    timers: Timers
    connectors: Connectors
    tools: TenantTools
    expressions: Expressions
    rulebook: Rulebook
    capabilities: Capabilities
    links: ApprovalLinks
    dispatch: Dispatch
    handler: Handler
    starter: Starter
    outbound: GuardedOutbound
    throttle: Throttle
    results: Results
    switches: Switches
    switching: Switching
    brake: Brake
    budgets: BudgetBooks
    objects: ObjectStores | None = None


@asynccontextmanager
async def core(settings: Settings, environment: Mapping[str, str], name: str) -> AsyncIterator[Core]:
    """Connects to the log and makes its streams. Raises Unavailable when it does not answer."""
    async with (
        connected(settings, name) as connection,
        content_keys_of(settings) as keys,
        log_of(settings, connection, contents=Contents(keys)) as log,
        sandbox_of(settings) as sandbox,
    ):
        connectors = await installed_connectors(settings, environment, sandbox)
        made = compose(settings, connection, log, connectors, keys)
        published = PublishedConnectors(
            made.log,
            ConnectorPackages(NatsBlobs(connection), settings.data_dir),
            sandbox,
            connectors,
            settings.trusted_authors,
        )
        async with made.outbound, published.kept_up(), watched(made):
            yield made


@asynccontextmanager
async def watched(core: Core) -> AsyncIterator[None]:
    """Switches are known before anything begins, or the engine does not answer: then nothing is done until it does."""
    watching = asyncio.create_task(core.switches.run(core.switching.fill))
    try:
        while core.switches.known() is None and await core.switches.changed(FRESH_S):
            pass
        yield
    finally:
        watching.cancel()


@asynccontextmanager
async def content_keys_of(settings: Settings) -> AsyncIterator["PostgresContentKeys"]:
    from fairlead.adapters.content_keys import PostgresContentKeys
    from fairlead.adapters.postgres import Database

    assert settings.database_url is not None, "the caller has seen to the engines"
    wrapping = vault_keys(settings.vault_keys_file, settings.vault_keys, settings.data_dir)
    async with Database(settings.database_url, max_connections=KEY_CONNECTIONS) as database:
        yield PostgresContentKeys(database, wrapping)


def sandbox_of(settings: Settings) -> Sandbox:
    limits = Limits(processes=settings.sandbox_processes, memory_bytes=settings.sandbox_memory_mb * MIB)
    return Sandbox(settings.sandbox, limits)


async def installed_connectors(settings: Settings, environment: Mapping[str, str], sandbox: Sandbox) -> Connectors:
    packages, lost = third_party(settings.connectors, trusted=settings.trusted_connectors)
    return load_connectors(
        settings.connectors,
        connector_settings(environment, settings.connectors),
        trusted=settings.trusted_connectors,
        contained={**lost, **await sandbox.connectors(packages)},
    )


def compose(
    settings: Settings, connection: NatsConnection, log: NatsLog, connectors: Connectors, content_keys: ContentKeys
) -> Core:
    clock = SystemClock()
    jobs, timers = NatsJobs(connection, replicas=settings.nats_replicas), NatsTimers(connection)
    expressions = CelExpressions()
    tools = TenantTools(log, connectors, clock)
    rulebook = Rulebook(log, tools, expressions)
    keys = capability_keys(settings.capability_keys_file, settings.data_dir)
    capabilities = Capabilities(keys, rulebook, clock)
    dispatch = Dispatch(jobs, timers, capabilities)
    handler = Handler(log, clock, deciders(rulebook), {"run": dispatch.run_appended})
    switches = NatsSwitches(connection, settings.nats_replicas)
    brake = Brake(switches, clock)
    return Core(
        settings=settings,
        clock=clock,
        ids=UuidIds(),
        log=log,
        sealed_log=NatsLog(connection, Codec(EVENTS, UPCASTERS)),
        contents=Contents(content_keys),
        content_keys=content_keys,
        copies=log,
        removal=NatsRemoval(connection),
        jobs=jobs,
        timers=timers,
        connectors=connectors,
        tools=tools,
        expressions=expressions,
        rulebook=rulebook,
        capabilities=capabilities,
        links=ApprovalLinks(keys),
        dispatch=dispatch,
        handler=handler,
        starter=Starter(log, handler, rulebook, brake, clock),
        outbound=accounts.way_out(settings),
        throttle=LeasingThrottle(NatsLedgers(connection, settings.nats_replicas)),
        results=NatsResults(connection, settings.nats_replicas),
        switches=switches,
        switching=Switching(log, handler, switches),
        brake=brake,
        budgets=BudgetBooks(log, handler, clock),
        objects=NatsObjects(connection, clock),
    )


def accounts_of(core: Core, database: "Database") -> accounts.Accounts:
    """`database` is connected as the role for requests."""
    return accounts.Accounts(
        settings=core.settings,
        log=core.log,
        handler=core.handler,
        clock=core.clock,
        ids=core.ids,
        manifests=core.tools,
        outbound=core.outbound,
        database=database,
    )


def webhooks_of(core: Core, database: "Database") -> WebhookParts:
    """`database` is connected as the role for requests."""
    return WebhookParts(
        settings=core.settings,
        log=core.log,
        handler=core.handler,
        clock=core.clock,
        ids=core.ids,
        outbound=core.outbound,
        database=database,
    )


def deciders(rulebook: Rulebook) -> dict[Kind, Decider]:
    return {
        "tenant": TENANTS,
        **accounts.DECIDERS,
        "workflow": Decider(initial=workflow.initial, evolve=workflow.evolve, decide=workflow.decide),
        "approval": Decider(
            initial=approval.initial,
            evolve=approval.evolve,
            decide=approval.decide,
            finished=lambda state: isinstance(state, approval.Settled),
            subject=approval.subject,
        ),
        "switch": SWITCHES,
        "breaker": Decider(initial=breaker.initial, evolve=breaker.evolve, decide=breaker.decide),
        "tally": Decider(initial=tally.initial, evolve=tally.evolve, decide=tally.decide),
        "policy": Decider(initial=policy.initial, evolve=policy.evolve, decide=policy.decide),
        "toolset": Decider(
            initial=toolset.initial,
            evolve=toolset.evolve,
            decide=toolset.decide,
            finished=lambda state: isinstance(state, toolset.Defined),
        ),
        "budget": Decider(
            initial=budget_states.initial,
            evolve=budget_states.evolve,
            decide=budget_decisions.decide,
            finished=lambda state: isinstance(state, budget_states.Closed),
        ),
        "retention": Decider(initial=retention.initial, evolve=retention.evolve, decide=retention.decide),
        "expiry": Decider(initial=expiry.initial, evolve=expiry.evolve, decide=expiry.decide, finished=lambda _: True),
        "case": Decider(initial=case.initial, evolve=case.evolve, decide=case.decide, subject=case.subject),
        "webhook": Decider(initial=webhook.initial, evolve=webhook.evolve, decide=webhook.decide),
        "run": Decider(
            initial=run_states.initial,
            evolve=run_states.evolve,
            decide=run_decisions.decide,
            rules=rulebook.of_command,
            supply=supplied,
            finished=run_states.is_over,
            smaller=run_decisions.smaller,
            begins=lambda command: isinstance(command, StartRun | ForkRun),
            subject=run_states.subject,
        ),
    }


def connector_settings(environment: Mapping[str, str], beside: Sequence[str]) -> dict[str, dict[str, str]]:
    """`FAIRLEAD_CONNECTOR_<NAME>_<KEY>`, by connector and key in lower case.

    Both may have several words. What begins with the name of a connector beside the program is that one's alone;
    else every reading counts, and a connector sees of its own only what its manifest names.
    """
    found: dict[str, dict[str, str]] = {name: {} for name in beside}
    for variable, value in environment.items():
        if variable.startswith(CONNECTOR_PREFIX):
            words = variable.removeprefix(CONNECTOR_PREFIX).lower().split("_")
            readings = [("_".join(words[:cut]), "_".join(words[cut:])) for cut in range(1, len(words))]
            for name, key in [reading for reading in readings if reading[0] in beside] or readings:
                found.setdefault(name, {})[key] = value
    return found


async def api(core: Core) -> None:
    """Answers HTTP requests, until cancelled."""
    from fairlead.adapters.http_server import serve
    from fairlead.adapters.positions import Positions
    from fairlead.adapters.postgres import Database
    from fairlead.api.application import create_api

    settings = core.settings
    assert settings.database_url is not None, "the caller has seen to the engines"
    async with Database(settings.database_url, max_connections=settings.database_connections) as database:
        positions = Positions(database)
        census = BreakerCensus(core.log)
        parts = api_parts(core, database, positions, census)
        async with asyncio.TaskGroup() as tasks:
            following = [tasks.create_task(positions.run()), tasks.create_task(census.run())]
            try:
                await serve(create_api(parts), settings.host, settings.port, parts.closing, settings.shutdown_timeout_s)
            finally:
                for task in following:
                    task.cancel()
                await parts.audit.close()


def api_parts(core: Core, database: "Database", positions: "Positions", census: BreakerCensus) -> "ApiParts":
    """`database` is connected as the role for requests."""
    from fairlead.adapters.api_keys import ApiKeys
    from fairlead.adapters.opened_rows import OpenedRows
    from fairlead.adapters.pepper import pepper
    from fairlead.adapters.positions import lag, ledger_state
    from fairlead.api.parts import ApiParts

    settings = core.settings

    async def lags() -> "list[Lag]":
        return await lag(core.log, core.clock, positions)

    async def backlog() -> int:
        """Commits that the read model furthest behind has not seen."""
        last, found = await core.log.last_sequence(), await positions.all()
        return max((last - position.sequence for position in found), default=0)

    async def queues() -> dict[str, Unfinished]:
        lanes = {f"lane_{lane}": await core.jobs.unfinished(lane) for lane in settings.worker_lanes}
        return {**lanes, "timers": await core.timers.unfinished()}

    return ApiParts(
        log=core.log,
        contents=core.contents,
        handler=core.handler,
        rulebook=core.rulebook,
        starter=core.starter,
        clock=core.clock,
        ids=core.ids,
        connectors=core.connectors,
        tools=core.tools,
        expressions=core.expressions,
        database=OpenedRows(database, core.contents),
        positions=positions,
        keys=ApiKeys(pepper(settings.pepper_file, settings.data_dir)),
        connecting=accounts_of(core, database).connecting(),
        head_keys=ledgers.keys_of(settings),
        ledger_state=lambda: ledger_state(database),
        links=core.links,
        budgets=core.budgets,
        audit=AccessAudit(core.log, core.clock, core.ids),
        webhook_secrets=webhooks_of(core, database).secrets(),
        lag=lags,
        backlog=backlog,
        queues=queues,
        breakers=census.counts,
        switches=core.switches,
        switching=core.switching,
        backlog_limit=settings.backlog_limit,
    )


async def engine(core: Core) -> None:
    """Read models, process managers, alarms, the watch, the sweep and the ledger, until cancelled."""
    from fairlead.adapters.postgres import Database
    from fairlead.adapters.quiet_runs import QuietRuns

    settings = core.settings
    assert settings.database_engine_url is not None, "the caller has seen to the engines"
    async with AsyncExitStack() as open_parts, asyncio.TaskGroup() as tasks:
        database = await open_parts.enter_async_context(
            Database(settings.database_engine_url, max_connections=settings.database_connections)
        )
        access = AccessCheck(core.log, core.handler, core.clock)
        watch = RunWatch(QuietRuns(database), core.handler, core.dispatch, access, core.clock)
        core.jobs.when_lost(watch.hurry)
        tasks.create_task(ProjectionRunner(core.sealed_log, database, PROJECTIONS).run())
        for manager in PROCESS_MANAGERS:
            tasks.create_task(process_runner(core, database, manager).run())
        if (telling := telling_of(core)) is not None:
            tasks.create_task(ProcessRunner(core.log, database, telling.handle, approval_notices).run())
        tasks.create_task(AlarmWorker(core.timers, core.handler, core.clock).run())
        tasks.create_task(watch.run())
        tasks.create_task(switch_keeper(core, database).run())
        tasks.create_task(IdempotencySweep(core.log, database).run())
        tasks.create_task(retention_sweep(core, database).run())
        tasks.create_task(ledgers.keeper(core.copies, database).run())
        tasks.create_task(ledgers.signer(settings, database, core.outbound, core.clock).run())


def process_runner(core: Core, database: "Database", manager: ProcessManager) -> ProcessRunner:
    """`database` is connected as the role for engines."""
    from fairlead.adapters.waiting_runs import WaitingRuns

    reconnector = Reconnector(core.handler, WaitingRuns(database))
    others: dict[ProcessManager, Handle] = {reconnecting: reconnector.handle, switch_mirror: core.switching.mirror}
    handle = others.get(manager, core.handler.handle)
    return ProcessRunner(core.log, database, handle, manager)


def telling_of(core: Core) -> Telling | None:
    """None where no mail server is named."""
    settings = core.settings
    if settings.mail_url is None or settings.mail_from is None:
        return None
    from fairlead.adapters.smtp_mailer import SmtpMailer, server_of

    mailer = SmtpMailer(server_of(settings.mail_url, settings.mail_ca_file), settings.mail_from)
    return Telling(core.log, core.handler, core.links, mailer, core.clock, accounts.public_url(settings))


def retention_sweep(core: Core, database: "Database") -> RetentionSweep:
    """`database` is connected as the role for engines."""
    return RetentionSweep(core.sealed_log, core.removal, database, core.handler, core.clock, core.ids)


def switch_keeper(core: Core, database: "Database") -> SwitchKeeper:
    """`database` is connected as the role for engines."""
    from fairlead.adapters.paused_runs import PausedRuns

    runs = PausedRuns(database)
    return SwitchKeeper(core.switches, core.switching, core.brake, runs, core.handler, core.clock)


async def worker(core: Core) -> None:
    """Carries out orders and sends webhooks, until cancelled."""
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(calls(core))
        tasks.create_task(webhook_sender(core))


async def webhook_sender(core: Core) -> None:
    """Until cancelled."""
    from fairlead.adapters.postgres import Database

    settings = core.settings
    assert settings.database_url is not None, "the caller has seen to the engines"
    async with Database(settings.database_url, max_connections=settings.database_connections) as database:
        await webhooks_of(core, database).worker(worker_name()).run()


async def calls(core: Core) -> None:
    """Carries out orders of each lane, until cancelled. Calls that use an account need the database, others do not."""
    from fairlead.adapters.postgres import Database

    settings = core.settings
    assert settings.database_url is not None, "the caller has seen to the engines"
    async with (
        Database(settings.database_url, max_connections=settings.database_connections) as database,
        asyncio.TaskGroup() as tasks,
    ):
        worker_id = worker_name()
        lender = accounts_of(core, database).lender(worker_id)
        remembering = Remembering(core.results, core.clock)
        caller = Caller(core.tools, Equipping(lender, core.outbound, core.brake, core.objects), remembering)
        for lane in settings.worker_lanes:
            tasks.create_task(tool_worker(core, lane, worker_id, caller).run())


def worker_name() -> str:
    return f"{socket.gethostname()}-{os.getpid()}"


def gates(core: Core, worker_id: str) -> Gates:
    """What calls of one process pass before they are made."""
    settings = core.settings
    tenant = Bound(settings.tenant_calls_per_minute, settings.tenant_max_concurrent)
    return Gates(
        worker_id=worker_id,
        board=BreakerBoard(core.log, core.handler, core.clock),
        throttle=core.throttle,
        handler=core.handler,
        clock=core.clock,
        ids=core.ids,
        limits_of=CallLimits(core.tools, tenant, host_limits(settings)),
    )


def host_limits(settings: Settings) -> dict[str, Bound]:
    """`host=calls a minute` or `host=calls a minute/calls at once`; the pattern of the setting has seen to the form."""
    found: dict[str, Bound] = {}
    for text in settings.host_limits:
        host, _, numbers = text.partition("=")
        calls, _, places = numbers.partition("/")
        found[host] = Bound(int(calls) or None, int(places) if places else None)
    return found


def tool_worker(core: Core, lane: str, worker_id: str, caller: Caller) -> ToolWorker:
    return ToolWorker(
        worker_id=worker_id,
        log=core.log,
        jobs=core.jobs,
        handler=core.handler,
        dispatch=core.dispatch,
        capabilities=core.capabilities,
        rulebook=core.rulebook,
        caller=caller,
        gates=gates(core, worker_id),
        brake=core.brake,
        clock=core.clock,
        max_in_flight=core.settings.worker_concurrency,
        lane=lane,
    )
