"""Whether something is kept by a legal hold, for whatever removes or erases. Asked of the log, as of now."""

from collections.abc import Mapping
from typing import Any

from fairlead_tenants.ids import TenantId

from fairlead.domain.retention import Retention, stream_of
from fairlead.handling.handler import Handler


class LegalHolds:
    def __init__(self, handler: Handler) -> None:
        self._handler = handler

    async def is_held(self, tenant_id: TenantId, run_id: str, labels: Mapping[str, str]) -> bool:
        """Whether this run may not be removed or erased. Raises Unavailable."""
        return bool((await self.of(tenant_id)).holds_on(run_id, labels))

    async def is_any_held(self, tenant_id: TenantId) -> bool:
        """Whether anything of the tenant may not be removed or erased: then not all of it may. Raises Unavailable."""
        return bool((await self.of(tenant_id)).holds)

    async def of(self, tenant_id: TenantId) -> Retention:
        """For whoever asks of many things at once. Raises Unavailable."""
        state: Any = (await self._handler.load(stream_of(tenant_id))).state
        assert isinstance(state, Retention), "the stream holds nothing else"
        return state
