"""What the API is built from. The composition root has these; the API knows them by what they do."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from fairlead_sdk.importing import Importer
from fairlead_tenants.access import EnvironmentKind
from fairlead_tenants.ids import TenantId
from fairlead_tenants.keys import ParsedKey

from fairlead.api.rate_limit import DEFAULT_RATE, RateLimit
from fairlead.domain.connectors.catalogue import Listed
from fairlead.domain.expressions import Expressions
from fairlead.domain.tenants.choices import Offer
from fairlead.handling.access_audit import AccessAudit
from fairlead.handling.approval_links import ApprovalLinks
from fairlead.handling.budget_books import BudgetBooks
from fairlead.handling.connecting import Connecting
from fairlead.handling.contents import Contents
from fairlead.handling.erasing import Forgotten
from fairlead.handling.founding import NewSecret
from fairlead.handling.handler import Handler
from fairlead.handling.model_door import ModelDoor
from fairlead.handling.model_router import ModelRouter
from fairlead.handling.prices import PriceBook
from fairlead.handling.rulebook import Rulebook
from fairlead.handling.starting import Starter
from fairlead.handling.switching import Switching
from fairlead.handling.tenant_routes import TenantRoutes
from fairlead.handling.tenant_tools import TenantTools
from fairlead.handling.webhook_secrets import WebhookSecrets
from fairlead.ports import Clock, ContentKeys, HeadKeys, Ids, Log, SqlDatabase, Switches, Unfinished


class PresentedKey(Protocol):
    """A well-formed key that somebody sent; `hash` is its keyed hash."""

    @property
    def parsed(self) -> ParsedKey: ...

    @property
    def hash(self) -> str: ...


class Keys(Protocol):
    """Makes keys and recognises them; only it knows the pepper."""

    def new(self, environment_kind: EnvironmentKind, tenant_id: TenantId) -> NewSecret: ...

    def recognise(self, text: str) -> PresentedKey | None: ...

    def digest(self, data: bytes) -> bytes:
        """32 bytes from which nobody without the pepper can tell whether a guess is right."""


class Positions(Protocol):
    async def reached(self, names: Sequence[str], sequence: int, timeout_s: float) -> bool:
        """Whether all the named read models have folded `sequence` within the time."""


class Lag(Protocol):
    """How far one read model is behind."""

    @property
    def name(self) -> str: ...

    @property
    def commits(self) -> int: ...

    @property
    def seconds(self) -> float: ...

    @property
    def parked(self) -> int: ...


class LedgerState(Protocol):
    """`missing`: commits that the log had lost before they were kept. `halted`: the log is not what was kept of it."""

    @property
    def missing(self) -> int: ...

    @property
    def halted(self) -> str | None: ...


class BrokenConnector(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str | None: ...

    @property
    def reason(self) -> str: ...


class Connectors(Protocol):
    """What is installed, what was allowed and cannot be used, and what the catalogue lists."""

    @property
    def offers(self) -> tuple[Offer, ...]: ...

    @property
    def broken(self) -> Sequence[BrokenConnector]: ...

    @property
    def listed(self) -> Mapping[str, Listed]: ...

    def importer(self, connector: str) -> Importer | None: ...


@dataclass(frozen=True, kw_only=True)
class Sight:
    """What is read to be shown. All three open content in the same way: with what is sensitive in it, or masked."""

    log: Log
    contents: Contents
    database: SqlDatabase


@dataclass(frozen=True, kw_only=True)
class ApiParts:
    """`log` and `handler` know everything, to decide by it; what is shown is read by `masked`, or where somebody may
    and has asked, `unmasked`. `database` is that of `masked`.

    `lag`, `backlog`, `queues` and `breakers` are asked when metrics are read; `backlog` also before a run is taken.
    `breakers` counts them by connector and state.

    Pages of `browser_origins` may use the MCP door; of others none may.

    `closing` is set by whoever stops the process, before connections are closed: open streams then end themselves.
    """

    log: Log
    masked: Sight
    unmasked: Sight
    content_keys: ContentKeys
    destroy: Forgotten
    handler: Handler
    rulebook: Rulebook
    starter: Starter
    clock: Clock
    ids: Ids
    connectors: Connectors
    tools: TenantTools
    expressions: Expressions
    positions: Positions
    keys: Keys
    connecting: Connecting
    head_keys: HeadKeys
    ledger_state: Callable[[], Awaitable[LedgerState]]
    webhook_secrets: WebhookSecrets
    audit: AccessAudit
    links: ApprovalLinks
    budgets: BudgetBooks
    prices: PriceBook
    models: ModelDoor
    routes: TenantRoutes
    router: ModelRouter
    lag: Callable[[], Awaitable[Sequence[Lag]]]
    backlog: Callable[[], Awaitable[int]]
    queues: Callable[[], Awaitable[Mapping[str, Unfinished]]]
    switches: Switches
    switching: Switching
    breakers: Callable[[], Mapping[tuple[str, str], int]] = dict
    backlog_limit: int = 10_000
    browser_origins: frozenset[str] = frozenset()
    rate_limit: RateLimit = DEFAULT_RATE
    closing: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def database(self) -> SqlDatabase:
        return self.masked.database
