"""Who we are at a connection's provider, with our secret there: put together for one exchange with it."""

import msgspec
from fairlead_tenants.ids import TenantId

from fairlead.domain.connections.clients import ClientSecret, Registered, client_for
from fairlead.domain.connections.errors import OAuthClientMissing, ProviderMisfit
from fairlead.domain.connections.grants import OAuthClient
from fairlead.domain.connections.naming import oauth_client_id
from fairlead.domain.connections.states import Account
from fairlead.domain.envelope import StreamRef
from fairlead.handling.handler import Handler
from fairlead.ports import Manifests, Vault

_decode = msgspec.json.Decoder(ClientSecret).decode


class ProviderClients:
    def __init__(self, handler: Handler, vault: Vault, manifests: Manifests) -> None:
        self._handler = handler
        self._vault = vault
        self._manifests = manifests

    async def of(self, tenant_id: TenantId, account: Account) -> OAuthClient:
        """Raises OAuthClientMissing, ProviderMisfit where the connector has no OAuth any more, Unavailable."""
        manifest = await self._manifests.manifest(tenant_id, account.connector)
        if manifest is None or manifest.auth.oauth is None:
            raise ProviderMisfit(f"{account.connector} has no provider of OAuth")
        holder_id = oauth_client_id(tenant_id, account.workspace_id, account.environment_id, account.connector)
        state = (await self._handler.load(StreamRef(tenant_id, "oauth_client", holder_id))).state
        if not isinstance(state, Registered):
            raise OAuthClientMissing(f"register a client at the provider of {account.connector} first")
        return client_for(manifest, account.config, state.client, await self._secret(tenant_id, state))

    async def _secret(self, tenant_id: TenantId, state: Registered) -> ClientSecret:
        version = state.client.secret_version
        if version is None:
            return ClientSecret()
        held = await self._vault.get(tenant_id, state.client.oauth_client_id)
        if held is None or held.version < version:
            raise OAuthClientMissing("the secret of the client is gone: register it again")
        return _decode(held.body)
