"""Composition root: the roles of the program, over what every role needs.

`engine`, `worker` and `api` are coroutines that run until cancelled.
"""

import asyncio
import os
import socket
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import TYPE_CHECKING

from fairlead import accounts, ledgers
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
    model_usage,
    open_work,
    policy_versions,
    price_versions,
    prompt_versions,
    reconnecting,
    route_versions,
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
from fairlead.core import Core, accounts_of, core, webhooks_of
from fairlead.handling.access_audit import AccessAudit
from fairlead.handling.breaker_census import BreakerCensus
from fairlead.handling.budget_desk import BudgetDesk
from fairlead.handling.dispatch import MODEL_LANE
from fairlead.handling.erasing import Destroying, ErasureWatch
from fairlead.handling.model_hearing import ModelHearing
from fairlead.handling.model_standings import ModelStandings
from fairlead.handling.reconnecting import AccessCheck, Reconnector
from fairlead.handling.telling import Telling
from fairlead.model_parts import ModelSide, model_attempts, model_door, model_router
from fairlead.ports import Credentials, Unfinished
from fairlead.settings import Settings
from fairlead.telemetry_parts import run_traces
from fairlead.workers.alarm_worker import AlarmWorker
from fairlead.workers.breaker_board import BreakerBoard
from fairlead.workers.call_limits import Bound, CallLimits
from fairlead.workers.calling import Caller
from fairlead.workers.equipping import Equipping
from fairlead.workers.gates import Gates
from fairlead.workers.model_worker import ModelWorker
from fairlead.workers.remembering import Remembering
from fairlead.workers.rollout_keeper import RolloutKeeper
from fairlead.workers.run_watch import RunWatch
from fairlead.workers.spending import Spending
from fairlead.workers.switch_keeper import SwitchKeeper
from fairlead.workers.tool_worker import ToolWorker

# What only one role needs is imported by it: litestar alone takes a second, and the others start without it.
if TYPE_CHECKING:
    from fairlead.adapters.positions import Lag, Positions
    from fairlead.adapters.postgres import Database
    from fairlead.api.parts import ApiParts

__all__ = [
    "PROJECTIONS",
    "Core",
    "api",
    "api_parts",
    "core",
    "engine",
    "models_of",
    "process_managers",
    "process_runner",
    "worker",
]

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
    price_versions,
    prompt_versions,
    route_versions,
    webhooks,
    accesses,
    cases,
    expiries,
    model_usage,
)
ROLLOUT_CALLS = 1_000  # of a model, that a stage is judged by
PROCESS_MANAGERS: tuple[ProcessManager, ...] = (executor, reconnecting, switch_mirror)


async def api(core: Core) -> None:
    """Answers HTTP requests, until cancelled."""
    from fairlead.adapters.http_server import serve
    from fairlead.adapters.positions import Positions
    from fairlead.adapters.postgres import Database
    from fairlead.api.application import create_api

    settings = core.settings
    assert settings.database_url is not None, "the caller has seen to the engines"
    async with (
        Database(settings.database_url, max_connections=settings.database_connections) as database,
        models_of(core, database) as models,
    ):
        positions = Positions(database)
        census = BreakerCensus(core.log)
        parts = api_parts(core, database, positions, census, models)
        async with asyncio.TaskGroup() as tasks:
            following = [tasks.create_task(positions.run()), tasks.create_task(census.run())]
            try:
                await serve(create_api(parts), settings.host, settings.port, parts.closing, settings.shutdown_timeout_s)
            finally:
                for task in following:
                    task.cancel()
                await parts.audit.close()


def models_of(core: Core, database: "Database") -> AbstractAsyncContextManager[ModelSide]:
    """Where doors ask models. `database` is connected as the role for requests."""
    name = worker_name()
    return model_door(core, name, call_limits(core), accounts_of(core, database).lender(name))


def api_parts(
    core: Core, database: "Database", positions: "Positions", census: BreakerCensus, models: ModelSide
) -> "ApiParts":
    """`database` is connected as the role for requests."""
    from fairlead.adapters.api_keys import ApiKeys
    from fairlead.adapters.opened_rows import OpenedRows
    from fairlead.adapters.pepper import pepper
    from fairlead.adapters.positions import lag, ledger_state
    from fairlead.api.parts import ApiParts, Sight

    settings, masked = core.settings, core.contents.behind_masks()

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
        masked=Sight(log=core.masked_log, contents=masked, database=OpenedRows(database, masked)),
        unmasked=Sight(log=core.log, contents=core.contents, database=OpenedRows(database, core.contents)),
        content_keys=core.content_keys,
        destroy=Destroying(core.content_keys, core.results, core.stale_objects),
        handler=core.handler,
        rulebook=core.rulebook,
        starter=core.starter,
        clock=core.clock,
        ids=core.ids,
        connectors=core.connectors,
        tools=core.tools,
        expressions=core.expressions,
        positions=positions,
        keys=ApiKeys(pepper(settings.pepper_file, settings.data_dir)),
        connecting=accounts_of(core, database).connecting(),
        head_keys=ledgers.keys_of(settings),
        ledger_state=lambda: ledger_state(database),
        links=core.links,
        budgets=core.budgets,
        prices=core.prices,
        models=models.door,
        routes=core.routes,
        router=models.router,
        audit=AccessAudit(core.log, core.clock, core.ids),
        webhook_secrets=webhooks_of(core, database).secrets(),
        lag=lags,
        backlog=backlog,
        queues=queues,
        breakers=census.counts,
        switches=core.switches,
        switching=core.switching,
        backlog_limit=settings.backlog_limit,
        browser_origins=frozenset({accounts.origin_of(accounts.public_url(settings))}),
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
        for manager in process_managers(settings):
            tasks.create_task(process_runner(core, database, manager).run())
        tasks.create_task(AlarmWorker(core.timers, core.handler, core.clock).run())
        tasks.create_task(watch.run())
        tasks.create_task(switch_keeper(core, database).run())
        tasks.create_task(IdempotencySweep(core.log, database).run())
        tasks.create_task(ErasureWatch(core.log, Destroying(core.content_keys, core.results, core.stale_objects)).run())
        tasks.create_task(retention_sweep(core, database).run())
        tasks.create_task(rollouts(core))
        if traces := run_traces(settings, core.sealed_log, core.outbound, core.clock):
            tasks.create_task(traces.run())
        tasks.create_task(ledgers.keeper(core.copies, database).run())
        tasks.create_task(ledgers.signer(settings, database, core.outbound, core.clock).run())


def process_runner(core: Core, database: "Database", manager: ProcessManager) -> ProcessRunner:
    """`database` is connected as the role for engines."""
    from fairlead.adapters.waiting_runs import WaitingRuns

    reconnector = Reconnector(core.handler, WaitingRuns(database))
    others: dict[ProcessManager, Handle] = {reconnecting: reconnector.handle, switch_mirror: core.switching.mirror}
    if manager is approval_notices:
        others[manager] = telling_of(core).handle
    handle = others.get(manager, core.handler.handle)
    return ProcessRunner(core.log, database, handle, manager)


def process_managers(settings: Settings) -> tuple[ProcessManager, ...]:
    """Mails are a matter of those who name a mail server."""
    return PROCESS_MANAGERS if settings.mail_url is None else (*PROCESS_MANAGERS, approval_notices)


def telling_of(core: Core) -> Telling:
    from fairlead.adapters.smtp_mailer import SmtpMailer, server_of

    settings = core.settings
    assert settings.mail_url is not None, "without a mail server nobody is written to"
    assert settings.mail_from is not None, "it comes with the server"
    mailer = SmtpMailer(server_of(settings.mail_url, settings.mail_ca_file), settings.mail_from)
    return Telling(core.log, core.handler, core.links, mailer, core.clock, accounts.public_url(settings))


async def rollouts(core: Core) -> None:
    """Moves candidates of routes that are being rolled out, until cancelled."""
    standings = ModelStandings(kept_calls=ROLLOUT_CALLS)
    keeper = RolloutKeeper(core.log, core.handler, standings, core.clock, core.ids)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(ModelHearing(core.copies, standings, core.clock).run())
        tasks.create_task(keeper.run())


def retention_sweep(core: Core, database: "Database") -> RetentionSweep:
    """`database` is connected as the role for engines."""
    return RetentionSweep(
        core.sealed_log, core.removal, database, core.handler, core.clock, core.ids, objects=core.stale_objects
    )


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
        budgets = BudgetDesk(core.budgets, core.clock, core.ids)
        spending = Spending(budgets, core.clock)
        for lane in settings.worker_lanes:
            if lane == MODEL_LANE:
                tasks.create_task(thinking(core, worker_id, lender, budgets))
            else:
                tasks.create_task(tool_worker(core, lane, worker_id, caller, spending).run())


async def thinking(core: Core, worker_id: str, lender: Credentials, budgets: BudgetDesk) -> None:
    """Asks models, until cancelled."""
    async with model_router(core, worker_id, call_limits(core)) as router:
        attempts = model_attempts(core, worker_id, router, lender, budgets)
        await ModelWorker(
            log=core.log,
            jobs=core.jobs,
            handler=core.handler,
            dispatch=core.dispatch,
            capabilities=core.capabilities,
            rulebook=core.rulebook,
            attempts=attempts,
            clock=core.clock,
            max_in_flight=core.settings.worker_concurrency,
        ).run()


def worker_name() -> str:
    return f"{socket.gethostname()}-{os.getpid()}"


def gates(core: Core, worker_id: str) -> Gates:
    """What calls of one process pass before they are made."""
    return Gates(
        worker_id=worker_id,
        board=BreakerBoard(core.log, core.handler, core.clock),
        throttle=core.throttle,
        handler=core.handler,
        clock=core.clock,
        ids=core.ids,
        limits_of=call_limits(core),
    )


def call_limits(core: Core) -> CallLimits:
    settings = core.settings
    tenant = Bound(settings.tenant_calls_per_minute, settings.tenant_max_concurrent)
    return CallLimits(core.tools, tenant, host_limits(settings))


def host_limits(settings: Settings) -> dict[str, Bound]:
    """`host=calls a minute` or `host=calls a minute/calls at once`; the pattern of the setting has seen to the form."""
    found: dict[str, Bound] = {}
    for text in settings.host_limits:
        host, _, numbers = text.partition("=")
        calls, _, places = numbers.partition("/")
        found[host] = Bound(int(calls) or None, int(places) if places else None)
    return found


def tool_worker(core: Core, lane: str, worker_id: str, caller: Caller, spending: Spending) -> ToolWorker:
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
        spending=spending,
        brake=core.brake,
        clock=core.clock,
        max_in_flight=core.settings.worker_concurrency,
        lane=lane,
    )
