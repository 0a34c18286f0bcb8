"""What a call meets on its way out: accounts, what was read before, and the world."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol, runtime_checkable

from fairlead_sdk.auth import NO_AUTH, Auth
from fairlead_sdk.contract import Manifest
from fairlead_sdk.objects import Objects
from fairlead_sdk.outbound import Addresses, Credential, Http
from fairlead_tenants.ids import EnvironmentId, TenantId, WorkspaceId
from msgspec import Struct

from fairlead.domain.connections.grants import (
    AuthorizationAnswer,
    AuthorizationRequest,
    DevicePending,
    DeviceRequest,
    Grant,
    OAuthClient,
)
from fairlead.domain.connections.use import Lent, Seen, Use
from fairlead.domain.envelope import Sequence as LogSequence
from fairlead.domain.ids import ConnectionId
from fairlead.domain.results import AnyKey, Found, KeptResult


class ConnectionDirectory(Protocol):
    async def of_connector(
        self,
        tenant_id: TenantId,
        workspace_id: WorkspaceId,
        environment_id: EnvironmentId,
        connector: str,
        at_least: LogSequence | None = None,
    ) -> list[ConnectionId]:
        """Those that are there, two at most: one is the only one, two are too many to choose from.

        Waits until all that is on the log up to `at_least` is known. Raises Unavailable when that takes too long.
        """


class ObjectStores(Protocol):
    def of(
        self, tenant_id: TenantId, workspace_id: WorkspaceId, environment_id: EnvironmentId, subject: str = ""
    ) -> Objects:
        """That place and no other. What is put there is about the data subject, as events name them."""


class StaleObjects(Protocol):
    """Objects in all places of a tenant. Each method raises Unavailable."""

    async def older(self, tenant_id: TenantId, before: datetime, limit: int) -> list[str]:
        """Versions of those that were last written before then."""

    async def remove(self, tenant_id: TenantId, before: datetime, versions: Collection[str]) -> None:
        """Those of them that are still there and were not written since, for good."""

    async def about(self, tenant_id: TenantId, subject: str, before: datetime, limit: int) -> list[str]:
        """Versions of those that were last written before then, by a run about the data subject."""


class Manifests(Protocol):
    async def manifest(self, tenant_id: TenantId, connector: str) -> Manifest | None:
        """As this tenant knows the connector."""


class Credentials(Protocol):
    def lend(self, use: Use) -> AbstractAsyncContextManager[Lent]:
        """What one call needs, checked as of now: the connection holds, it was granted the scopes, the credential is
        fresh. The use is on its way to the log when this yields, and on the log when it ends.

        Raises NeedsReconnect, ScopeMissing, ConnectionNotFound, ConnectionAmbiguous, ConnectionMismatch, Unavailable.
        """

    async def account(self, use: Use) -> Seen:
        """The account that would be lent, checked in the same way. Nothing is lent, so nothing is recorded."""

    async def refused(self, use: Use, lent: Lent) -> bool:
        """The counterpart did not take what was lent. True: there is a newer one to try with. False: a person is
        needed, and the connection says so from now on."""


class Results(Protocol):
    """What reads gave a moment ago, and models answered, for all processes. What is not kept costs a call, no more."""

    async def find(self, key: AnyKey) -> Found:
        """Never raises: a cache that does not answer is empty, and keeps nothing."""

    def keep(self, key: AnyKey, epoch: str, kept: KeptResult) -> None:
        """What a call gave that was asked for after `epoch` was found. Does not wait."""

    async def forget(self, tenant_id: TenantId, connector: str, surely: bool) -> None:
        """Something was written: what the connector's reads gave, or are just being given, is not given again.

        `surely`: returns when it is so, for all processes; else it is said and not waited for.
        """

    async def drop(self, tenant_id: TenantId) -> None:
        """Nothing is kept of the tenant's results any more. Raises Unavailable."""


class OAuthFlows(Protocol):
    """Our side of OAuth 2.1. Each raises GrantRefused, ProviderUnavailable, ProviderMisfit; no secret in any text."""

    async def authorize(
        self, client: OAuthClient, redirect_uri: str, scopes: Sequence[str], state: str
    ) -> AuthorizationRequest:
        """Authorization code with PKCE (S256). Asks the provider for nothing but its metadata."""

    async def exchange(self, client: OAuthClient, answer: AuthorizationAnswer, scopes: Sequence[str]) -> Grant: ...

    async def refresh(self, client: OAuthClient, refresh_token: str, scopes: Sequence[str]) -> Grant:
        """Spends the refresh token. The caller sees to it that nobody else does."""

    async def client_credentials(self, client: OAuthClient, scopes: Sequence[str]) -> Grant: ...

    async def device_start(self, client: OAuthClient, scopes: Sequence[str]) -> DeviceRequest: ...

    async def device_poll(
        self, client: OAuthClient, device_code: str, scopes: Sequence[str], interval_s: int
    ) -> Grant | DevicePending:
        """`interval_s` is the pause of the request, or of the last answer."""

    async def token_exchange(
        self, client: OAuthClient, subject_token: str, subject_token_type: str, scopes: Sequence[str]
    ) -> Grant:
        """RFC 8693: a token of somebody else's for one of our own."""

    async def revoke(self, client: OAuthClient, grant: Grant) -> bool:
        """Tell the provider that the grant is over (RFC 7009). False where it has no place to be told."""


class WayOut(Struct, frozen=True, kw_only=True):
    """How one call may reach its counterpart, and for how long.

    `owner` is whose kept connections it may use: the connection's id, or the tenant's for calls without one; never
    something that two tenants share. None keeps no connection. `egress` are hosts as in `Manifest.egress`, their
    fields filled from `config`.
    """

    owner: str | None
    egress: tuple[str, ...]
    timeout_s: float
    config: Mapping[str, str] = {}
    auth: Auth = NO_AUTH
    credential: Credential | None = None


@runtime_checkable
class Outbound(Protocol):
    """The way to the world, for a process."""

    def http(self, way: WayOut) -> Http:
        """For one call; its time runs from here."""

    def addresses(self, way: WayOut) -> Addresses:
        """For one call of a connector that ships with the platform."""
