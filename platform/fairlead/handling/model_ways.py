"""The way of one model call to its provider: how it is spoken to, and the account, checked now and lent for it."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from fairlead_sdk.auth import AuthKind
from fairlead_sdk.contract import Manifest
from fairlead_sdk.models import ModelService
from fairlead_tenants.ids import TenantId
from msgspec import Struct
from msgspec.structs import replace

from fairlead.domain.connections.use import Use
from fairlead.domain.errors import FairleadError, StreamMoved, Unavailable
from fairlead.domain.ids import CallId
from fairlead.domain.models.failures import ModelFailed
from fairlead.domain.models.request import ModelRequest
from fairlead.domain.runs.events import ModelCallRouted, RunStarted
from fairlead.ports import Credentials, Manifests, ModelOrder, WayOut

RECORDED = "recorded"  # the provider whose answers were kept; nothing is sent


class NoSuchProvider(ModelFailed):
    def __init__(self, provider: str) -> None:
        super().__init__("permanent", "provider_missing", f"the tenant has no provider of models {provider}")


class Bound(Struct, frozen=True):
    """Where a call is made, and for whom."""

    tenant_id: TenantId
    start: RunStarted
    routed: ModelCallRouted
    timeout_s: float | None


class ModelWays:
    def __init__(self, credentials: Credentials, manifests: Manifests) -> None:
        self._credentials = credentials
        self._manifests = manifests

    async def total_s(self, tenant_id: TenantId, provider: str, timeout_s: float | None) -> float:
        """How long one attempt may take. Raises NoSuchProvider."""
        service = _service(await self._manifest(tenant_id, provider), provider)
        return service.times.total_s if timeout_s is None else min(timeout_s, service.times.total_s)

    @asynccontextmanager
    async def open(self, bound: Bound, request: ModelRequest) -> AsyncIterator[ModelOrder]:
        """Raises ModelFailed, where there is no account that may be used; Unavailable."""
        routed, tenant_id = bound.routed, bound.tenant_id
        manifest = await self._manifest(tenant_id, routed.provider)
        service = _service(manifest, routed.provider)
        assert manifest is not None, "what serves models has a manifest"
        total_s = service.times.total_s if bound.timeout_s is None else min(bound.timeout_s, service.times.total_s)
        times = replace(service.times, total_s=total_s, first_token_s=min(service.times.first_token_s, total_s))
        async with AsyncExitStack() as held:
            lent = None
            if manifest.auth.kind is not AuthKind.NONE or manifest.config:
                try:
                    lent = await held.enter_async_context(self._credentials.lend(_use(bound)))
                except (Unavailable, StreamMoved):
                    raise
                except FairleadError as missing:
                    raise ModelFailed("permission", missing.code, str(missing)) from missing
            way = WayOut(
                owner=lent.connection_id if lent else tenant_id,
                egress=manifest.egress,
                timeout_s=total_s,
                config=lent.connection.config if lent else {},
                auth=manifest.auth,
                credential=lent.credential if lent else None,
            )
            asked = replace(request, model=routed.model)
            yield ModelOrder(request=asked, service=replace(service, times=times), way=way)

    async def _manifest(self, tenant_id: TenantId, provider: str) -> Manifest | None:
        return await self._manifests.manifest(tenant_id, provider)


def _service(manifest: Manifest | None, provider: str) -> ModelService:
    if manifest is None or manifest.models is None:
        raise NoSuchProvider(provider)
    return manifest.models


def _use(bound: Bound) -> Use:
    start, routed = bound.start, bound.routed
    return Use(
        tenant_id=bound.tenant_id,
        workspace_id=start.workspace_id,
        environment_id=start.environment_id,
        connector=routed.provider,
        connection=routed.connection or None,
        tool=tool_name(routed.provider),
        scopes=(),
        run_id=start.run_id,
        call_id=CallId(routed.call_id),
        attempt=routed.attempt,
    )


def tool_name(provider: str) -> str:
    """What asking its models is called where switches, limits and uses of connections name tools."""
    return f"{provider}.models"
