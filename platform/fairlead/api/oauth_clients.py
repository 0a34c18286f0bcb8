"""Registrations at providers: who we are when a connection asks for access. One for each connector, workspace and
environment, made by the tenant at the provider and brought here."""

from typing import Annotated

import msgspec
from fairlead_tenants.access import Permission, Principal
from litestar import Controller, Response, delete, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody, PathParameter, QueryParameter
from msgspec import Meta, Struct

from fairlead.api import connection_views as views
from fairlead.api.acting import Act
from fairlead.api.connection_access import Id, check_manage, place_for_new
from fairlead.api.connection_sign_ins import SecretText
from fairlead.api.connection_views import OAuthClientView
from fairlead.api.connections import MANAGES
from fairlead.api.guards import requires
from fairlead.api.paging import DEFAULT_LIMIT, Cursor, Limit, Page, after, page
from fairlead.api.parts import ApiParts
from fairlead.api.run_access import within
from fairlead.domain.connections.clients import (
    MAX_CLIENT_ID,
    ClientSecret,
    OAuthClientRegistered,
    Registered,
    RegisterOAuthClient,
    RemoveOAuthClient,
)
from fairlead.domain.connections.errors import OAuthClientMissing
from fairlead.domain.connections.naming import oauth_client_id
from fairlead.domain.envelope import StreamRef
from fairlead.domain.errors import Invalid, Problem
from fairlead.domain.ids import OAuthClientId

LIST = "oauth_clients"


class NewOAuthClient(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """As the provider gave it. `private_key` is a JWK, for a client that signs instead of sending a secret."""

    connector: Annotated[str, Meta(min_length=1, max_length=32)]
    client_id: Annotated[str, Meta(min_length=1, max_length=MAX_CLIENT_ID)]
    client_secret: SecretText | None = None
    private_key: SecretText | None = None
    workspace_id: Id | None = None
    environment_id: Id | None = None

    def __repr__(self) -> str:
        return f"NewOAuthClient({self.client_id!r})"


class RegisteredClient(Struct, frozen=True, kw_only=True):
    """`redirect_uri` is what the provider has to know of us."""

    oauth_client_id: OAuthClientId
    connector: str
    client_id: str
    has_secret: bool
    redirect_uri: str


class OAuthClientController(Controller):
    path = "/v1/oauth-clients"
    tags = ("Connections",)

    @post("/", opt=MANAGES)
    async def register_oauth_client(
        self, data: JSONBody[NewOAuthClient], act: NamedDependency[Act], parts: NamedDependency[ApiParts]
    ) -> Response[RegisteredClient]:
        """Register, or replace what was registered and its secret. The secret is never shown again."""
        workspace_id, environment_id = place_for_new(act, data.workspace_id, data.environment_id)
        await _check_provider(parts, act, data.connector)
        holder = oauth_client_id(act.tenant_id, workspace_id, environment_id, data.connector)
        registered = OAuthClientRegistered(
            oauth_client_id=holder,
            workspace_id=workspace_id,
            environment_id=environment_id,
            connector=data.connector,
            client_id=data.client_id,
            secret_version=await _put(parts, act, holder, data),
        )
        await act.handle(StreamRef(act.tenant_id, "oauth_client", holder), RegisterOAuthClient(registered=registered))
        shown = RegisteredClient(
            oauth_client_id=holder,
            connector=data.connector,
            client_id=data.client_id,
            has_secret=registered.secret_version is not None,
            redirect_uri=parts.connecting.sign_ins.redirect_uri,
        )
        return Response(shown, status_code=201, headers={"Location": f"/v1/oauth-clients/{holder}"})

    @get("/", opt=requires(Permission.CONNECTION_READ, "connections"))
    async def list_oauth_clients(
        self,
        principal: NamedDependency[Principal],
        parts: NamedDependency[ApiParts],
        workspace: Annotated[str | None, QueryParameter(name="workspace_id", max_length=64)] = None,
        limit: Limit = DEFAULT_LIMIT,
        cursor: Cursor = None,
    ) -> Page[OAuthClientView]:
        """Those that the principal may see, by id."""
        where = within(principal, Permission.CONNECTION_READ).narrowed(workspace)
        start = after(cursor, LIST, principal.tenant_id, str) or ""
        async with parts.database.read(principal.tenant_id) as tx:
            found = await views.clients(tx, where, start, limit + 1)
        return page(found, limit, LIST, principal.tenant_id, lambda each: each.oauth_client_id)

    @delete("/{oauth_client_id:str}", opt=MANAGES, status_code=204)
    async def remove_oauth_client(
        self,
        oauth_client: Annotated[str, PathParameter(name="oauth_client_id")],
        act: NamedDependency[Act],
        parts: NamedDependency[ApiParts],
    ) -> None:
        """Forget the registration and its secret. Connections that were made with it cannot be renewed any more."""
        holder = OAuthClientId(oauth_client)
        stream = StreamRef(act.tenant_id, "oauth_client", holder)
        state = (await parts.handler.load(stream)).state
        if not isinstance(state, Registered):
            raise OAuthClientMissing("no such client registration")
        check_manage(act.principal, state.client.workspace_id, state.client.environment_id)
        await act.handle(stream, RemoveOAuthClient(reason="removed"))
        held = await parts.connecting.vault.get(act.tenant_id, holder)
        if held is not None:
            await parts.connecting.vault.erase(act.tenant_id, holder, held.version)


async def _check_provider(parts: ApiParts, act: Act, connector: str) -> None:
    manifest = await parts.connecting.manifests.manifest(act.tenant_id, connector)
    if manifest is None or manifest.auth.oauth is None:
        problem = Problem(path="/connector", message="there is no such connector with OAuth", code="unknown_connector")
        raise Invalid([problem], "no client can be registered for this connector")


async def _put(parts: ApiParts, act: Act, holder: OAuthClientId, data: NewOAuthClient) -> int | None:
    if data.client_secret is None and data.private_key is None:
        return None
    secret = ClientSecret(secret=data.client_secret, private_key=data.private_key)
    return await parts.connecting.vault.put(act.tenant_id, holder, msgspec.json.encode(secret))
