"""A connection to a ledger service, and the manifest that it is for."""

from contextlib import AbstractAsyncContextManager
from typing import Any

from fairlead_sdk.auth import Access, Auth, AuthKind, OAuthGrant, OAuthServer, Scope
from fairlead_sdk.contract import ConfigField, Effect, Idempotency, Manifest, Tool
from fairlead_sdk.outbound import Credential
from fairlead_tenants.ids import EnvironmentId, TenantId, WorkspaceId
from msgspec import Struct

from fairlead.domain.connections import events as e
from fairlead.domain.connections.errors import ConnectionNotFound
from fairlead.domain.connections.naming import connection_id
from fairlead.domain.connections.use import Lent, Seen, Use
from fairlead.domain.ids import CallId, RunId

ALICE, BOB = TenantId("tnt_alice"), TenantId("tnt_bob")
DESK, LIVE, TEST = WorkspaceId("wsp_desk"), EnvironmentId("env_live"), EnvironmentId("env_test")
READ, WRITE, ADMIN = "ledger.read", "ledger.write", "ledger.admin"
MAIN = connection_id(ALICE, DESK, LIVE, "main")
SCOPES = (
    Scope(name=READ, access=Access.READ, title="See entries"),
    Scope(name=WRITE, access=Access.WRITE, title="Make entries"),
    Scope(name=ADMIN, access=Access.ADMIN, title="Close books"),
)
SERVER = OAuthServer(
    issuer="https://{tenant_name}.id.example",
    token_url="https://{tenant_name}.id.example/token",  # an address
    grants=(OAuthGrant.AUTHORIZATION_CODE, OAuthGrant.CLIENT_CREDENTIALS, OAuthGrant.DEVICE_CODE),
)


class Line(Struct, frozen=True, forbid_unknown_fields=True):
    text: str


async def _run(arguments: Line, call: Any) -> Line:
    credential: Credential | None = call.connection.credential if call.connection else None
    return Line(text=f"{arguments.text} as {credential.username if credential else 'nobody'}")


def a_tool(name: str, *scopes: str, effect: Effect = Effect.READ) -> Tool[Any, Any]:
    return Tool(
        name=f"ledger.{name}",
        title=name,
        description=f"{name} in the ledger",
        input=Line,
        output=Line,
        run=_run,
        effect=effect,
        idempotency=Idempotency.NATURAL,
        scopes=scopes,
        writes=("ledger.entry",) if effect is not Effect.READ else (),
    )


def ledger(auth: Auth | None = None) -> Manifest:
    return Manifest(
        name="ledger",
        title="Ledger",
        version="1.0.0",
        tools=(a_tool("read_lines", READ), a_tool("add_line", WRITE, effect=Effect.WRITE)),
        auth=auth or Auth(kind=AuthKind.OAUTH2, oauth=SERVER),
        scopes=SCOPES,
        egress=("{base_url}",),
        config=(
            ConfigField(name="base_url", title="Address"),
            ConfigField(name="tenant_name", title="Name at the provider"),
            ConfigField(name="label", title="Label", required=False),
        ),
    )


CONFIG = {"base_url": "https://ledger.example", "tenant_name": "acme"}


def created(**changes: Any) -> e.ConnectionCreated:
    plain: dict[str, Any] = {
        "connection_id": MAIN,
        "workspace_id": DESK,
        "environment_id": LIVE,
        "connector": "ledger",
        "name": "main",
        "auth": AuthKind.OAUTH2,
        "grant": OAuthGrant.AUTHORIZATION_CODE,
        "config": CONFIG,
        "scopes": (READ,),
    }
    return e.ConnectionCreated(**{**plain, **changes})


def authorized(version: int = 1, *granted: str, requested: tuple[str, ...] | None = None) -> e.ConnectionAuthorized:
    given = granted or (READ,)
    return e.ConnectionAuthorized(secret_version=version, requested=requested or given, granted=given)


def a_use(*scopes: str, **changes: Any) -> Use:
    plain: dict[str, Any] = {
        "tenant_id": ALICE,
        "workspace_id": DESK,
        "environment_id": LIVE,
        "connector": "ledger",
        "connection": "main",
        "tool": "ledger.read_lines",
        "scopes": scopes or (READ,),
        "run_id": RunId("run_1"),
        "call_id": CallId("tcl_1-1"),
        "attempt": 1,
    }
    return Use(**{**plain, **changes})


class NoAccounts:
    """Lends nothing: for tests in which no connector has accounts."""

    def lend(self, use: Use) -> AbstractAsyncContextManager[Lent]:
        raise ConnectionNotFound(f"{use.connector} has no connection here")

    async def account(self, use: Use) -> Seen:
        raise ConnectionNotFound(f"{use.connector} has no connection here")

    async def refused(self, use: Use, lent: Lent) -> bool:
        raise AssertionError(f"{lent} was never lent to {use.call_id}")
