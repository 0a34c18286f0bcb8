"""Keys in memory: content that is sealed under them is gone with the process."""

import secrets
from collections.abc import Collection, Mapping
from datetime import datetime

from fairlead_tenants.ids import TenantId

from fairlead.adapters.content_keys.kept import Kept
from fairlead.domain.sealing import KEY_BYTES, ContentKey


class MemoryContentKeys:
    def __init__(self) -> None:
        self._kept = Kept()

    async def sealing(self, tenant_id: TenantId, subject: str) -> ContentKey:
        key = self._kept.current(tenant_id, subject)
        if key is None:
            key = ContentKey(new_key_id(), secrets.token_bytes(KEY_BYTES))
            self._kept.keep(tenant_id, key.key_id, key)
            self._kept.keep_current(tenant_id, subject, key)
        return key

    async def opening(self, tenant_id: TenantId, key_ids: Collection[str]) -> Mapping[str, ContentKey | None]:
        return self._kept.found(tenant_id, key_ids)

    async def ids(self, tenant_id: TenantId, subject: str | None) -> list[str]:
        return self._kept.ids(tenant_id, subject)

    async def destroy(self, tenant_id: TenantId, key_ids: Collection[str], at: datetime) -> None:  # noqa: ARG002
        self._kept.forget(tenant_id, key_ids)

    def forget(self, tenant_id: TenantId, key_ids: Collection[str]) -> None:
        self._kept.forget(tenant_id, key_ids)


def new_key_id() -> str:
    return f"ck{secrets.token_hex(8)}"
