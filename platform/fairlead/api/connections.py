"""Connections: a tenant's accounts at counterparts. Made, listed, revoked, deleted; and which calls used them."""

from datetime import UTC, datetime
from typing import Annotated

from fairlead_sdk.auth import OAuthGrant
from fairlead_tenants.access import Permission, Principal
from litestar import Controller, Response, delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter
from msgspec import Meta, Struct

from fairlead.api import connection_views as views
from fairlead.api.acting import Act
from fairlead.api.connection_access import Id, ScopeNames, managed, place_for_new, readable
from fairlead.api.connection_views import ConnectionState, ConnectionView, ShownStanding, UseView, state_of
from fairlead.api.guards import requires
from fairlead.api.paging import DEFAULT_LIMIT, Cursor, Limit, Page, after, page
from fairlead.api.parts import ApiParts
from fairlead.api.principals import Because
from fairlead.api.run_access import within
from fairlead.api.workspaces import SlugName
from fairlead.domain.connections.commands import CreateConnection, DeleteConnection, RevokeConnection
from fairlead.domain.connections.drafts import MAX_FIELD, Draft
from fairlead.domain.connections.errors import ConnectionNotFound
from fairlead.domain.envelope import StreamRef
from fairlead.domain.instant import Instant

LIST, USES = "connections", "connection_uses"
READS = requires(Permission.CONNECTION_READ, "connections")
MANAGES = requires(Permission.CONNECTION_MANAGE)
BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
FieldName = Annotated[str, Meta(max_length=32)]
FieldValue = Annotated[str, Meta(min_length=1, max_length=MAX_FIELD)]
Fields = Annotated[dict[FieldName, FieldValue], Meta(max_length=20)]


class NewConnection(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`config` are the connector's fields, none of them secret. Without `scopes` only those that read are asked for.

    `name` is how workflows speak of it, the same in each environment.
    """

    connector: Annotated[str, Meta(min_length=1, max_length=32)]
    name: SlugName
    workspace_id: Id | None = None
    environment_id: Id | None = None
    config: Fields = {}
    scopes: ScopeNames | None = None
    grant: OAuthGrant | None = None


class Revoked(ConnectionState, frozen=True, kw_only=True):
    """`secret_erased`: nothing of the credential is left here. `provider_told`: the provider has ended it as well."""

    secret_erased: bool
    provider_told: bool


class ConnectionController(Controller):
    path = "/v1/connections"
    tags = ("Connections",)

    @post("/", opt=MANAGES)
    async def create_connection(
        self, data: JSONBody[NewConnection], act: NamedDependency[Act], parts: NamedDependency[ApiParts]
    ) -> Response[ConnectionState]:
        """Make a connection. It can be used once somebody has given access: by `authorize`, `device` or `secret`."""
        workspace_id, environment_id = place_for_new(act, data.workspace_id, data.environment_id)
        draft = Draft(
            workspace_id=workspace_id,
            environment_id=environment_id,
            name=data.name,
            config=data.config,
            scopes=data.scopes,
            grant=data.grant,
        )
        created = await parts.connecting.draft(act.tenant_id, data.connector, draft)
        stream = StreamRef(act.tenant_id, "connection", created.connection_id)
        handled = await act.handle(stream, CreateConnection(created=created))
        headers = {"Location": f"/v1/connections/{created.connection_id}"}
        return Response(state_of(handled.state), status_code=201, headers=headers)

    @get("/", opt=READS)
    async def list_connections(
        self,
        principal: NamedDependency[Principal],
        parts: NamedDependency[ApiParts],
        workspace: Annotated[str | None, QueryParameter(name="workspace_id", max_length=64)] = None,
        connector: Annotated[str | None, QueryParameter(name="connector", max_length=32)] = None,
        standing: Annotated[ShownStanding | None, QueryParameter(name="standing")] = None,
        limit: Limit = DEFAULT_LIMIT,
        cursor: Cursor = None,
    ) -> Page[ConnectionView]:
        """Those that the principal may see, in the order in which they were made."""
        wanted = views.Listed(
            where=within(principal, Permission.CONNECTION_READ).narrowed(workspace),
            after=after(cursor, LIST, principal.tenant_id, int) or 0,
            limit=limit + 1,
            connector=connector,
            standing=standing,
        )
        async with parts.database.read(principal.tenant_id) as tx:
            rows = await views.listed(tx, wanted)
        found = page(rows, limit, LIST, principal.tenant_id, lambda row: row.created_sequence)
        return Page([row.view() for row in found.items], found.next_cursor)

    @get("/{connection_id:str}", opt=READS)
    async def get_connection(
        self, connection_id: FromPath[str], principal: NamedDependency[Principal], parts: NamedDependency[ApiParts]
    ) -> ConnectionView:
        """One connection, without its secret."""
        row = await readable(parts, principal, connection_id)
        if row.standing == "deleted":
            raise ConnectionNotFound("no such connection")
        return row.view()

    @delete("/{connection_id:str}", opt=MANAGES, status_code=204)
    async def delete_connection(
        self,
        connection_id: FromPath[str],
        act: NamedDependency[Act],
        parts: NamedDependency[ApiParts],
        reason: Annotated[str | None, QueryParameter(name="reason", min_length=1, max_length=500)] = None,
    ) -> None:
        """End it like a revocation, and free its name. What used it stays on record."""
        stream, account = await managed(parts, act, connection_id)
        why = "deleted" if reason is None else reason
        revoked = (await act.handle(stream, RevokeConnection(reason=why), "revoke")).state
        # Before it is deleted: a request that is cut off here can be sent again, and finds what is left to erase.
        await parts.connecting.endings.erase(act.tenant_id, account, revoked.lives, act.cause("erase"))
        await act.handle(stream, DeleteConnection(reason=why))

    @post("/{connection_id:str}/revoke", status_code=200, opt=MANAGES)
    async def revoke_connection(
        self,
        connection_id: FromPath[str],
        data: JSONBody[Because],
        act: NamedDependency[Act],
        parts: NamedDependency[ApiParts],
    ) -> Revoked:
        """No call is lent its credential from here on, anywhere; then the provider is told and the secret erased.

        Safe to repeat, for one when the provider could not be told.
        """
        stream, account = await managed(parts, act, connection_id)
        revoked = (await act.handle(stream, RevokeConnection(reason=data.reason))).state
        ended = await parts.connecting.endings.erase(act.tenant_id, account, revoked.lives, act.cause("erase"))
        if ended is not None:
            act.seen(ended.handled)
        state = state_of(revoked)
        return Revoked(
            **{name: getattr(state, name) for name in ConnectionState.__struct_fields__},
            secret_erased=True,
            provider_told=ended.told_provider if ended else False,
        )

    @get("/{connection_id:str}/uses", opt=requires(Permission.CONNECTION_READ, "connections", "connection_uses"))
    async def list_uses(
        self,
        connection_id: FromPath[str],
        principal: NamedDependency[Principal],
        parts: NamedDependency[ApiParts],
        since: Annotated[
            Instant | None, QueryParameter(name="since", description="Uses that began then or later.")
        ] = None,
        limit: Limit = DEFAULT_LIMIT,
        cursor: Cursor = None,
    ) -> Page[UseView]:
        """Which calls were lent the credential, oldest first. Also of a connection that is revoked or deleted."""
        row = await readable(parts, principal, connection_id)
        at, place = _from(after(cursor, USES, row.connection_id, str), since)
        async with parts.database.read(principal.tenant_id) as tx:
            found = await views.uses(tx, row.connection_id, at, place, limit + 1)
        paged = page(found, limit, USES, row.connection_id, lambda use: f"{use.lent_at.isoformat()} {use.place}")
        return Page([use.view() for use in paged.items], paged.next_cursor)


def _from(cursor: str | None, since: datetime | None) -> tuple[datetime, int]:
    """What the page comes after: no use has a place of -1."""
    if cursor is None:
        return (since or BEGINNING), -1
    at, _, place = cursor.partition(" ")
    return datetime.fromisoformat(at), int(place)
