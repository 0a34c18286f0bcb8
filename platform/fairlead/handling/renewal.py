"""A new credential for one that ends: a refresh token is spent once, by one process, whoever else wants it.

The right to spend it is a turn that the vault gives: one holder at a time, for a lease, with a fence that grows.
Whoever does not get it waits for what the holder brings. Whoever comes back late is told so by the fence, and what it
brought is thrown away. When a holder dies in the middle, the next one tries the same token after the lease; whether the
provider had taken it already shows in its answer.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any
from weakref import WeakValueDictionary

import structlog
from fairlead_tenants.ids import TenantId
from msgspec import Struct

from fairlead.domain.connections import kept as secrets
from fairlead.domain.connections.commands import NeedReconnect, RecordRefresh
from fairlead.domain.connections.errors import (
    GrantRefused,
    NeedsReconnect,
    OAuthClientMissing,
    ProviderMisfit,
    ProviderUnavailable,
)
from fairlead.domain.connections.grants import Grant, OAuthClient
from fairlead.domain.connections.kept import Kept, KeptGrant
from fairlead.domain.connections.states import Account
from fairlead.domain.envelope import SYSTEM, StreamRef
from fairlead.domain.errors import FairleadError
from fairlead.domain.ids import CommandId, ConnectionId
from fairlead.handling.handler import Cause, Handler
from fairlead.handling.provider_clients import ProviderClients
from fairlead.ports import Clock, OAuthFlows, Turn, Vault

LEASE_S = 20.0  # longer than an exchange with a provider may take
LOOK_AGAIN_S = 0.1
_log = structlog.get_logger()


class Held(Struct, frozen=True, kw_only=True):
    """A secret as the vault has it."""

    version: int
    kept: Kept


class NotRenewable(Exception):
    """There is nothing to get a new credential for. Never leaves this module."""


class Renewal:
    def __init__(
        self,
        handler: Handler,
        vault: Vault,
        flows: OAuthFlows,
        clients: ProviderClients,
        clock: Clock,
        lease_s: float = LEASE_S,
    ) -> None:
        self._handler = handler
        self._vault = vault
        self._flows = flows
        self._clients = clients
        self._clock = clock
        self._lease_s = lease_s
        self._under_way: set[asyncio.Task[Held]] = set()
        self._turns: WeakValueDictionary[tuple[TenantId, ConnectionId], asyncio.Lock] = WeakValueDictionary()

    async def renew(self, tenant_id: TenantId, account: Account, seen: Held) -> Held:
        """What takes the place of `seen`, by us or by somebody else. Raises NeedsReconnect, Unavailable."""
        key = (tenant_id, account.connection_id)
        lock = self._turns.get(key)
        if lock is None:
            lock = self._turns[key] = asyncio.Lock()
        async with lock:
            return await self._renew(tenant_id, account, seen)

    async def need_person(self, tenant_id: TenantId, account: Account, version: int, reason: str) -> NeedsReconnect:
        """Says on the log that the secret of this version is of no use. The error to raise."""
        command = NeedReconnect(lives=account.lives, secret_version=version, reason=reason)
        await self._tell(tenant_id, account, command, f"needs-{account.lives}-{version}")
        return NeedsReconnect(account.connection_id, f"the connection {account.name} has to be given anew ({reason})")

    async def _renew(self, tenant_id: TenantId, account: Account, seen: Held) -> Held:
        waited_s = 0.0
        while waited_s <= 2 * self._lease_s:
            turn = await self._vault.take_turn(tenant_id, account.connection_id, seen.version, self._lease_s)
            if turn is not None:
                return await self._to_the_end(self._spend(tenant_id, account, turn))
            newer = await self._vault.get(tenant_id, account.connection_id)
            if newer is None:
                raise NeedsReconnect(account.connection_id, f"the connection {account.name} has no secret any more")
            if newer.version > seen.version:
                return Held(version=newer.version, kept=secrets.decode(newer.body))
            await asyncio.sleep(LOOK_AGAIN_S)
            waited_s += LOOK_AGAIN_S
        raise ProviderUnavailable

    async def _to_the_end(self, spending: Coroutine[Any, Any, Held]) -> Held:
        """Also when whoever asked has gone: what the provider gave for a spent token must be kept."""
        task = asyncio.create_task(spending)
        self._under_way.add(task)
        task.add_done_callback(self._over)
        return await asyncio.shield(task)

    def _over(self, task: asyncio.Task[Held]) -> None:
        self._under_way.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.info("connection_not_renewed", error=type(error).__name__)

    async def _spend(self, tenant_id: TenantId, account: Account, turn: Turn) -> Held:
        """Ends the turn, however this ends; a process that is killed leaves it to the lease."""
        body = None
        try:
            renewed, client = await self._ask(tenant_id, account, secrets.decode(turn.secret.body))
            body = secrets.encode(renewed)
        except (GrantRefused, ProviderMisfit, OAuthClientMissing, NotRenewable) as refused:
            reason = refused.error if isinstance(refused, GrantRefused) else getattr(refused, "code", "expired")
            raise await self.need_person(tenant_id, account, turn.secret.version, reason) from refused
        finally:
            version = await self._vault.end_turn(tenant_id, account.connection_id, turn, body)
        if version is None:
            return await self._lost(tenant_id, account, renewed.grant, client, turn)
        command = RecordRefresh(
            lives=account.lives,
            secret_version=version,
            granted=renewed.grant.scopes,
            expires_at=renewed.grant.expires_at,
        )
        await self._tell(tenant_id, account, command, f"refresh-{account.lives}-{version}")
        return Held(version=version, kept=renewed)

    async def _ask(self, tenant_id: TenantId, account: Account, kept: Kept) -> tuple[KeptGrant, OAuthClient]:
        if not isinstance(kept, KeptGrant):
            raise NotRenewable
        client, asked_at = await self._clients.of(tenant_id, account), self._clock.now()
        grant = await self._grant(client, account, kept)
        return KeptGrant(grant=grant, given_at=asked_at, requested=kept.requested, subject=kept.subject), client

    async def _grant(self, client: OAuthClient, account: Account, kept: KeptGrant) -> Grant:
        if kept.subject is not None:
            return await self._flows.token_exchange(client, kept.subject.token, kept.subject.kind, kept.requested)
        if kept.grant.refresh_token is not None:
            return await self._flows.refresh(client, kept.grant.refresh_token, kept.grant.scopes)
        if account.grant == "client_credentials":
            return await self._flows.client_credentials(client, kept.requested)
        raise NotRenewable

    async def _lost(self, tenant_id: TenantId, account: Account, grant: Grant, client: OAuthClient, turn: Turn) -> Held:
        """The secret was replaced or erased meanwhile. What we were given must not outlive a revocation."""
        newer = await self._vault.get(tenant_id, account.connection_id)
        if newer is not None and newer.version > turn.secret.version:
            return Held(version=newer.version, kept=secrets.decode(newer.body))
        try:
            await self._flows.revoke(client, grant)
        except FairleadError as error:
            _log.warning("grant_not_ended", connection_id=account.connection_id, code=error.code)
        raise NeedsReconnect(account.connection_id, f"the connection {account.name} was revoked")

    async def _tell(
        self, tenant_id: TenantId, account: Account, command: NeedReconnect | RecordRefresh, what: str
    ) -> None:
        stream = StreamRef(tenant_id, "connection", account.connection_id)
        cause = Cause(actor=SYSTEM, command_id=CommandId(f"cmd_{account.connection_id}.{what}"))
        await self._handler.handle(stream, command, cause)
