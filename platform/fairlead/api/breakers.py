"""Breakers: which counterparts are known not to answer, and closing one by hand."""

from typing import Annotated

from fairlead_tenants.access import Permission, Principal, may
from fairlead_tenants.ids import EnvironmentId
from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter
from msgspec import Meta, Struct

from fairlead.api import breaker_views as views
from fairlead.api.acting import Act
from fairlead.api.breaker_views import Breaker, ShownState
from fairlead.api.guards import requires
from fairlead.api.paging import DEFAULT_LIMIT, Cursor, Limit, Page, after, page
from fairlead.api.parts import ApiParts
from fairlead.api.run_access import within
from fairlead.api.runs import Reason
from fairlead.domain import breakers as b
from fairlead.domain.envelope import StreamRef
from fairlead.domain.errors import Denied
from fairlead.handling.starting import EnvironmentNeeded

LIST = "breakers"


class BreakerReset(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`environment_id` is the key's own where none is named."""

    reason: Reason
    environment_id: Annotated[str, Meta(max_length=64)] | None = None
    connection_id: Annotated[str, Meta(max_length=64)] | None = None


class BreakerClosed(Struct, frozen=True, kw_only=True):
    breaker_id: str
    sequence: int


class BreakerController(Controller):
    path = "/v1/breakers"
    tags = ("Breakers",)

    @get("/", opt=requires(Permission.BREAKER_READ, "breakers"))
    async def list_breakers(
        self,
        principal: NamedDependency[Principal],
        parts: NamedDependency[ApiParts],
        connector: Annotated[str | None, QueryParameter(name="connector", max_length=64)] = None,
        standing: Annotated[ShownState | None, QueryParameter(name="state")] = None,
        limit: Limit = DEFAULT_LIMIT,
        cursor: Cursor = None,
    ) -> Page[Breaker]:
        """Those that ever opened, where the principal may see them, in the order in which they first did."""
        where = within(principal, Permission.BREAKER_READ)
        if where.workspaces is not None:  # a breaker is in an environment, and in no workspace
            return Page([], None)
        wanted = views.Listed(
            after=after(cursor, LIST, principal.tenant_id, int) or 0,
            limit=limit + 1,
            environment=where.environment,
            connector=connector,
            state=standing,
        )
        async with parts.database.read(principal.tenant_id) as tx:
            rows = await views.listed(tx, wanted)
        found = page(rows, limit, LIST, principal.tenant_id, lambda row: row.first_sequence)
        return Page([row.shown() for row in found.items], found.next_cursor)

    @post("/{connector:str}/reset", status_code=200, opt=requires(Permission.BREAKER_RESET))
    async def reset_breaker(
        self,
        connector: FromPath[str],
        data: JSONBody[BreakerReset],
        act: NamedDependency[Act],
        parts: NamedDependency[ApiParts],
    ) -> BreakerClosed:
        """Close it: calls are made again at once. It opens again when they are not answered."""
        environment_id = _environment(act.principal, data.environment_id)
        stream = StreamRef(act.tenant_id, "breaker", b.breaker_id(environment_id, connector, data.connection_id))
        handled = await act.handle(stream, b.ResetBreaker(reason=data.reason, now=parts.clock.now()))
        return BreakerClosed(breaker_id=stream.id, sequence=handled.sequence)


def _environment(principal: Principal, named: str | None) -> EnvironmentId:
    """Raises EnvironmentNeeded, NoSuchBreaker for an environment that the principal cannot see into, Denied."""
    environment_id = EnvironmentId(named) if named else principal.environment_id
    if environment_id is None:
        raise EnvironmentNeeded("name one of the tenant's environments")
    if not may(principal, Permission.BREAKER_READ, None, environment_id):
        raise b.NoSuchBreaker("no such breaker")
    if not may(principal, Permission.BREAKER_RESET, None, environment_id):
        raise Denied(Permission.BREAKER_RESET)
    return environment_id
