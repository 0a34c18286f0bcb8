"""Which limits a call falls under: its tool's, its connector's, its tenant's, and those of the hosts that it reaches.

What a tool and a connector say is for one account; what the installation says of a host is for all tenants together,
who then have equal parts of it.
"""

from collections.abc import Mapping
from typing import Protocol

from fairlead_sdk.contract import Manifest
from fairlead_tenants.ids import TenantId
from msgspec import Struct

from fairlead.domain.throttling import Limit
from fairlead.workers.gates import Asked


class Manifests(Protocol):
    async def manifest(self, tenant_id: TenantId, connector: str) -> Manifest | None: ...


class Bound(Struct, frozen=True):
    """Calls a minute and calls at once; None is without end."""

    calls_per_minute: int | None = None
    max_concurrent: int | None = None


class CallLimits:
    """`tenant` bounds each tenant's calls; `hosts` those to one host, named as in manifests."""

    def __init__(self, manifests: Manifests, tenant: Bound, hosts: Mapping[str, Bound]) -> None:
        self._manifests = manifests
        self._tenant = tenant
        self._hosts = hosts

    async def __call__(self, asked: Asked) -> list[Limit]:
        """Those of the account first: where one of them has no room, nothing is taken of what is shared."""
        account = f"{asked.tenant_id}/{asked.environment_id}/{asked.connection}"
        limits = [_limit(f"tenant/{asked.tenant_id}", "all calls of the tenant", self._tenant)]
        if (manifest := await self._manifests.manifest(asked.tenant_id, asked.connector)) is not None:
            if (tool := manifest.by_name.get(asked.tool)) is not None:
                bound = Bound(tool.calls_per_minute, tool.max_concurrent)
                limits.append(_limit(f"tool/{account}/{asked.tool}", f"tool {asked.tool}", bound))
            bound = Bound(manifest.calls_per_minute, manifest.max_concurrent)
            limits.append(_limit(f"connector/{account}/{asked.connector}", f"connector {asked.connector}", bound))
            hosts = [host for host in manifest.egress if host in self._hosts]
            limits += [_limit(f"host/{host}", f"host {host}", self._hosts[host], shared=True) for host in hosts]
        return [limit for limit in limits if limit.calls_per_minute or limit.max_concurrent]


def _limit(key: str, name: str, bound: Bound, *, shared: bool = False) -> Limit:
    return Limit(
        key=key, name=name, calls_per_minute=bound.calls_per_minute, max_concurrent=bound.max_concurrent, shared=shared
    )
