"""The end of a connection: refused to every call from the next moment on, then ended at the provider and erased."""

import asyncio

import structlog
from fairlead_sdk.auth import AuthKind
from fairlead_tenants.ids import TenantId
from msgspec import Struct

from fairlead.domain.connections import kept as secrets
from fairlead.domain.connections.commands import RecordErasure
from fairlead.domain.connections.kept import KeptGrant
from fairlead.domain.connections.states import Account
from fairlead.domain.envelope import StreamRef
from fairlead.domain.errors import FairleadError
from fairlead.handling.handler import Cause, Handled, Handler
from fairlead.handling.provider_clients import ProviderClients
from fairlead.ports import OAuthFlows, Vault

PROVIDER_S = 5.0  # it may take no longer to be told
MAX_LOOKS = 5
_log = structlog.get_logger()


class Erased(Struct, frozen=True, kw_only=True):
    told_provider: bool
    handled: Handled


class Endings:
    def __init__(self, handler: Handler, vault: Vault, flows: OAuthFlows, clients: ProviderClients) -> None:
        self._handler = handler
        self._vault = vault
        self._flows = flows
        self._clients = clients

    async def erase(self, tenant_id: TenantId, ended: Account, lives: int, cause: Cause) -> Erased | None:
        """After the fact is on the log. `ended` is the account as it was, `lives` what it became. Safe to repeat.

        None: there was nothing in the vault. Raises Unavailable.
        """
        told, erased = False, False
        for _ in range(MAX_LOOKS):  # a refresh that was under way may still put its result there
            held = await self._vault.get(tenant_id, ended.connection_id)
            if held is None:
                break
            told = await self._tell(tenant_id, ended, secrets.decode(held.body)) or told
            erased = await self._vault.erase(tenant_id, ended.connection_id, held.version) or erased
        if not erased:
            return None
        command = RecordErasure(lives=lives, told_provider=told)
        stream = StreamRef(tenant_id, "connection", ended.connection_id)
        return Erased(told_provider=told, handled=await self._handler.handle(stream, command, cause))

    async def _tell(self, tenant_id: TenantId, ended: Account, kept: secrets.Kept) -> bool:
        """Whether the provider confirmed. One that does not answer keeps nobody from revoking."""
        if ended.auth is not AuthKind.OAUTH2 or not isinstance(kept, KeptGrant):
            return False
        try:
            async with asyncio.timeout(PROVIDER_S):
                return await self._flows.revoke(await self._clients.of(tenant_id, ended), kept.grant)
        except (FairleadError, TimeoutError) as error:
            _log.warning("provider_not_told", connection_id=ended.connection_id, error=type(error).__name__)
            return False
