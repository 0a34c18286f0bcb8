"""Ids that follow from names, so that a name is one history and needs no look-up."""

import base64
import hashlib

from fairlead_tenants.ids import EnvironmentId, TenantId, WorkspaceId

from fairlead.domain.ids import ConnectionId, OAuthClientId

ID_CHARS = 26


def connection_id(
    tenant_id: TenantId, workspace_id: WorkspaceId, environment_id: EnvironmentId, name: str
) -> ConnectionId:
    """`con_` and 130 bits of a hash: the same name in another environment is another connection."""
    return ConnectionId("con_" + _digest(tenant_id, workspace_id, environment_id, name))


def oauth_client_id(
    tenant_id: TenantId, workspace_id: WorkspaceId, environment_id: EnvironmentId, connector: str
) -> OAuthClientId:
    """`oac_`: one registration of ours at a connector's provider for each workspace and environment."""
    return OAuthClientId("oac_" + _digest(tenant_id, workspace_id, environment_id, connector))


def _digest(*parts: str) -> str:
    digest = hashlib.sha256("/".join(parts).encode()).digest()
    return base64.b32encode(digest).decode()[:ID_CHARS].lower()
