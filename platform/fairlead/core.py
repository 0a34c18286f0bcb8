"""What every role is built from: `core` builds the adapters of one process and hands them out."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from msgspec import Struct

from fairlead import accounts
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
from fairlead.adapters.nats_stale_objects import NatsStaleObjects
from fairlead.adapters.nats_switches import FRESH_S, NatsSwitches
from fairlead.adapters.nats_timers import NatsTimers
from fairlead.adapters.outbound import GuardedOutbound
from fairlead.adapters.plugins import Connectors, load_connectors, third_party
from fairlead.adapters.published_connectors import PublishedConnectors
from fairlead.adapters.sandbox.limits import MIB, Limits
from fairlead.adapters.sandbox.sandbox import Sandbox
from fairlead.adapters.shipped_prices import SELLERS, shipped_prices
from fairlead.adapters.throttle import LeasingThrottle, NatsLedgers
from fairlead.adapters.vault.keys import vault_keys
from fairlead.deciders import deciders
from fairlead.domain.catalogue import EVENTS, UPCASTERS
from fairlead.domain.codec import Codec
from fairlead.domain.expressions import Expressions
from fairlead.handling.approval_links import ApprovalLinks
from fairlead.handling.budget_books import BudgetBooks
from fairlead.handling.capabilities import Capabilities
from fairlead.handling.contents import Contents
from fairlead.handling.dispatch import Dispatch
from fairlead.handling.erasing import ErasureWatch, Forgetting
from fairlead.handling.handler import Handler
from fairlead.handling.prices import PriceBook
from fairlead.handling.rulebook import Rulebook
from fairlead.handling.starting import Starter
from fairlead.handling.switching import Brake, Switching
from fairlead.handling.tenant_routes import TenantRoutes
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
    StaleObjects,
    Switches,
    Throttle,
    Timers,
)
from fairlead.registry import connected, log_of
from fairlead.settings import Settings
from fairlead.webhook_parts import WebhookParts

# What only one role needs is imported by it: litestar alone takes a second, and the others start without it.
if TYPE_CHECKING:
    from fairlead.adapters.content_keys import PostgresContentKeys
    from fairlead.adapters.postgres import Database

KEY_CONNECTIONS = 4  # of a process, to look keys of content up
CONNECTOR_PREFIX = "FAIRLEAD_CONNECTOR_"


class Core(Struct, frozen=True, kw_only=True):
    """What every role is built from. One per process. `sealed_log` is the log for those who must not see content: what
    they store stays sealed. `masked_log` is for those who may not see what is sensitive in it."""

    settings: Settings
    clock: Clock
    ids: Ids
    log: Log
    sealed_log: Log
    masked_log: Log
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
    prices: PriceBook
    routes: TenantRoutes
    objects: ObjectStores | None = None
    stale_objects: StaleObjects | None = None


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
        async with made.outbound, published.kept_up(), watched(made), erasures_heard(made):
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
async def erasures_heard(core: Core) -> AsyncIterator[None]:
    """Nothing begins before it is known what was erased."""
    watch = ErasureWatch(core.log, Forgetting(core.content_keys, core.handler))
    hearing = asyncio.create_task(watch.run())
    try:
        await watch.caught_up()
        yield
    finally:
        hearing.cancel()


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
    contents = Contents(content_keys)
    return Core(
        settings=settings,
        clock=clock,
        ids=UuidIds(),
        log=log,
        sealed_log=NatsLog(connection, Codec(EVENTS, UPCASTERS)),
        masked_log=NatsLog(connection, Codec(EVENTS, UPCASTERS), contents=contents.behind_masks()),
        contents=contents,
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
        prices=PriceBook(log, clock, shipped_prices(), SELLERS),
        routes=TenantRoutes(log, clock),
        objects=NatsObjects(connection, clock),
        stale_objects=NatsStaleObjects(connection),
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
        log=core.masked_log,
        handler=core.handler,
        clock=core.clock,
        ids=core.ids,
        outbound=core.outbound,
        database=database,
    )


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
