"""Gives a call what it needs to reach its counterpart: the account, checked now, and a way out that ends with the call.

A connector sees the account's fields and never its credential, which is added to requests on the way out. Only one that
runs in our own process, and says that it speaks no HTTP, is handed it.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from fairlead_sdk.auth import AuthKind
from fairlead_sdk.contract import Call, Effect
from fairlead_sdk.errors import NeedsReconnect, ToolError, TryLater
from fairlead_sdk.outbound import Connection
from fairlead_tenants.ids import EnvironmentId, TenantId, WorkspaceId
from msgspec import Struct
from msgspec.structs import replace

from fairlead.domain.connections.errors import ScopeMissing
from fairlead.domain.connections.use import Lent, Purpose, Seen, Use
from fairlead.domain.errors import FairleadError, StreamMoved, Unavailable
from fairlead.domain.ids import RunId, WorkflowId
from fairlead.domain.runs.events import ToolCallRequested
from fairlead.domain.runs.states import Active
from fairlead.domain.switches.verdict import Where
from fairlead.handling.switching import Brake, SwitchesUnknown
from fairlead.handling.tenant_tools import Fitted
from fairlead.ports import Credentials, ObjectStores, Outbound, WayOut


class Place(Struct, frozen=True):
    """Whose call it is. A connector is never told; its settings are."""

    tenant_id: TenantId
    environment: str
    workspace_id: WorkspaceId
    environment_id: EnvironmentId
    run_id: RunId
    workflow_id: WorkflowId = WorkflowId("")
    data_subject: str = ""

    def settings(self, raw: Mapping[str, str]) -> dict[str, str]:
        """`{tenant}` and `{environment}` in a setting keep tenants apart: a folder each, a database each."""
        return {
            key: value.replace("{tenant}", self.tenant_id).replace("{environment}", self.environment)
            for key, value in raw.items()
        }


def place_of(tenant_id: TenantId, run: Active) -> Place:
    start = run.start
    return Place(
        tenant_id,
        start.environment_kind,
        start.workspace_id,
        start.environment_id,
        run.run_id,
        start.workflow_id,
        start.data_subject,
    )


def where_of(tenant_id: TenantId, run: Active, tool: str = "") -> Where:
    """What switches are asked about."""
    start = run.start
    return Where(tenant_id, start.environment_id, start.workspace_id, start.workflow_id, tool)


class Braked(Exception):
    """A switch was set, or the sight of switches was lost, between the last look and this one. Nothing was asked."""

    def __init__(self, subject: str) -> None:
        super().__init__(subject)
        self.subject = subject


class NoAccess(NeedsReconnect):
    """There is no account that this call may use. `scope` is what was not granted of the one there is."""

    def __init__(self, message: str, code: str, connection_id: str = "", scope: str = "") -> None:
        super().__init__(message, code)
        self.connection_id = connection_id
        self.scope = scope


class Access(Struct, frozen=True):
    """An account as it is. With another `generation`, what it gave before may not be what it would give now."""

    connection_id: str = ""
    generation: str = ""


class Equipped:
    """One call with its equipment. Each asking has a way out of its own, whose time runs from there."""

    def __init__(
        self, plain: Call, fitted: Fitted, place: Place, equipping: "Equipping", use: Use, lent: Lent | None
    ) -> None:
        self.plain = plain
        self._fitted = fitted
        self._place = place
        self._equipping = equipping
        self._use = use
        self._lent = lent

    def under(self, idempotency_key: str) -> "Equipped":
        """The same under another key."""
        plain = replace(self.plain, idempotency_key=idempotency_key)
        return Equipped(plain, self._fitted, self._place, self._equipping, self._use, self._lent)

    def call(self, timeout_s: float) -> Call:
        """What one asking is given. It is the last thing before connector code runs. Raises Braked."""
        self.look()
        manifest, lent, given = self._fitted.manifest, self._lent, self._with_store()
        if not manifest.egress and lent is None:
            return given
        handed_over = manifest.auth.handed_over
        way = WayOut(
            owner=lent.connection_id if lent else self._place.tenant_id,
            egress=manifest.egress,
            timeout_s=timeout_s,
            config=lent.connection.config if lent else {},
            auth=manifest.auth,
            credential=lent.credential if lent and not handed_over else None,
        )
        outbound = self._equipping.outbound
        if self._fitted.runs_here:
            given = replace(given, addresses=outbound.addresses(way))
        return replace(given, connection=self._connection(handed_over), http=outbound.http(way))

    def look(self) -> None:
        """Raises Braked."""
        self._equipping.look(self._use, self._fitted.tool.effect, self._place.workflow_id)

    def _with_store(self) -> Call:
        """Only for what runs in our own process."""
        stores, place = self._equipping.stores, self._place
        if stores is None or not self._fitted.runs_here:
            return self.plain
        objects = stores.of(place.tenant_id, place.workspace_id, place.environment_id, place.data_subject)
        return replace(self.plain, objects=objects)

    @property
    def access(self) -> Access:
        return Access(self._lent.connection_id, self._lent.generation) if self._lent else Access()

    async def refused(self, error: NeedsReconnect) -> ToolError:
        """What it means that the counterpart did not take the credential: there is a better one now, or there is not.

        Raises Unavailable.
        """
        if self._lent is None or isinstance(error, NoAccess):
            return error
        if await self._equipping.credentials.refused(self._use, self._lent):
            return TryLater("the credential has been renewed", "credential_renewed")
        return NoAccess(str(error), "reconnect_needed", self._lent.connection_id)

    def _connection(self, handed_over: bool) -> Connection | None:
        if self._lent is None:
            return None
        if not handed_over or not self._fitted.runs_here:
            return self._lent.connection
        return replace(self._lent.connection, credential=self._lent.credential)


class Equipping:
    def __init__(
        self, credentials: Credentials, outbound: Outbound, brake: Brake, stores: ObjectStores | None = None
    ) -> None:
        self.credentials = credentials
        self.outbound = outbound
        self.stores = stores
        self._brake = brake

    def look(self, use: Use, effect: Effect, workflow_id: WorkflowId) -> None:
        """Raises Braked."""
        where = Where(use.tenant_id, use.environment_id, use.workspace_id, workflow_id, use.tool)
        try:
            stop = self._brake.stop_of(use.purpose, effect, where)
        except SwitchesUnknown as unknown:
            raise Braked(unknown.code) from unknown
        if stop is not None:
            raise Braked(stop.switch)

    @asynccontextmanager
    async def equip(
        self, plain: Call, fitted: Fitted, request: ToolCallRequested, place: Place, purpose: Purpose
    ) -> AsyncIterator[Equipped]:
        """Raises NoAccess, Unavailable."""
        use = _use(fitted, request, place, plain.attempt, purpose)
        async with AsyncExitStack() as held:
            lent = await self._lent(held, use) if _needs_account(fitted) else None
            yield Equipped(plain, fitted, place, self, use, lent)

    async def account(self, fitted: Fitted, request: ToolCallRequested, place: Place) -> dict[str, Any] | None:
        """What reviewers are shown of the account that a call would use, so that an approval is for that one.

        Raises NoAccess, Unavailable.
        """
        if not _needs_account(fitted):
            return None
        found = (await self._seen(_use(fitted, request, place, 1, "preview"))).connection
        return {"connection_id": found.connection_id, "config": dict(found.config)}

    async def access(self, fitted: Fitted, request: ToolCallRequested, place: Place) -> Access:
        """What a call would be made with now; nothing of an account where the connector has none.

        Raises NoAccess, Unavailable.
        """
        if not _needs_account(fitted):
            return Access()
        found = await self._seen(_use(fitted, request, place, 1, "call"))
        return Access(found.connection.connection_id, found.generation)

    async def _seen(self, use: Use) -> Seen:
        try:
            return await self.credentials.account(use)
        except FairleadError as missing:
            raise _no_access(missing) from missing

    async def _lent(self, held: AsyncExitStack, use: Use) -> Lent:
        try:
            return await held.enter_async_context(self.credentials.lend(use))
        except FairleadError as missing:
            raise _no_access(missing) from missing


def _needs_account(fitted: Fitted) -> bool:
    return fitted.manifest.auth.kind is not AuthKind.NONE or bool(fitted.manifest.config)


def _no_access(error: FairleadError) -> NoAccess:
    """Raises Unavailable: whether there is access may be known later."""
    if isinstance(error, Unavailable | StreamMoved):
        raise error
    scope = error.missing if isinstance(error, ScopeMissing) else ""
    message = str(error)
    if path := getattr(error, "reconnect_path", None):
        message = f"{message}: POST {path}"
    return NoAccess(message, error.code, getattr(error, "connection_id", ""), scope)


def _use(fitted: Fitted, request: ToolCallRequested, place: Place, attempt: int, purpose: Purpose) -> Use:
    return Use(
        tenant_id=place.tenant_id,
        workspace_id=place.workspace_id,
        environment_id=place.environment_id,
        connector=fitted.manifest.name,
        connection=request.connection or None,
        tool=request.tool,
        scopes=fitted.tool.scopes,
        run_id=place.run_id,
        call_id=request.call_id,
        attempt=attempt,
        purpose=purpose,
    )
