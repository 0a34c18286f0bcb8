"""Objects of the store that a tenant keeps no longer, whatever place they are in. Their bytes are written over."""

from collections.abc import Collection
from datetime import datetime

import msgspec
from fairlead_tenants.ids import TenantId

from fairlead.adapters.nats_blobs import found_parts
from fairlead.adapters.nats_connection import NatsConnection
from fairlead.adapters.nats_objects import AT_ONCE, Info, kept_in
from fairlead.adapters.nats_removal import remove_all
from fairlead.adapters.nats_streams import OBJECTS
from fairlead.domain import subjects


class NatsStaleObjects:
    """Implements `ports.StaleObjects`."""

    def __init__(self, connection: NatsConnection) -> None:
        self._connection = connection

    async def older(self, tenant_id: TenantId, before: datetime, limit: int) -> list[str]:
        return [version for _, version in await self._older(tenant_id, before, limit)]

    async def about(self, tenant_id: TenantId, subject: str, before: datetime, limit: int) -> list[str]:
        return [version for _, version in await self._older(tenant_id, before, limit, subject)]

    async def remove(self, tenant_id: TenantId, before: datetime, versions: Collection[str]) -> None:
        """What was written anew since has another version, and stays. What says that it is there goes last."""
        wanted = frozenset(versions)
        for key, version in await self._older(tenant_id, before, None):
            if version in wanted:
                root = key.rpartition(".at.")[0]
                await remove_all(self._connection, OBJECTS, subjects.object_parts(root, version))
                await remove_all(self._connection, OBJECTS, key)

    async def _older(
        self, tenant_id: TenantId, before: datetime, limit: int | None, subject: str | None = None
    ) -> list[tuple[str, str]]:
        """Where each stands, and its version; of one data subject, or of all."""
        asked = {"subjects_filter": subjects.objects_of_tenant(tenant_id)}
        info = msgspec.convert(
            await self._connection.patiently(lambda: self._connection.api(f"STREAM.INFO.{OBJECTS}", asked)), Info
        )
        keys, found = sorted(info.state.subjects or ()), list[tuple[str, str]]()
        for start in range(0, len(keys), AT_ONCE):
            page = keys[start : start + AT_ONCE]
            bodies = await found_parts(self._connection, OBJECTS, page)
            for key in page:
                kept = kept_in(bodies[key]) if key in bodies else None
                if kept is None or subject not in (None, kept.subject):
                    continue
                if datetime.fromisoformat(kept.object.stored_at) < before:
                    found.append((key, kept.version))
            if limit is not None and len(found) >= limit:
                return found[:limit]
        return found
