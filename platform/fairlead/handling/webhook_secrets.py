"""Secrets of webhooks: made here, kept in the vault, shown once."""

import secrets
from datetime import timedelta

from fairlead_sdk.webhook_signing import new_secret
from fairlead_tenants.ids import TenantId
from msgspec import Struct

from fairlead.domain.errors import StreamMoved
from fairlead.domain.ids import CommandId, WebhookId
from fairlead.domain.instant import Instant
from fairlead.domain.webhooks.secrets import KEY_BYTES, Signing, decode, encode
from fairlead.domain.webhooks.subscription import NoSuchWebhook
from fairlead.ports import Clock, Secret, Vault

TURN_S = 10.0


class Made(Struct, frozen=True, kw_only=True):
    """`text` is for the one answer that shows it."""

    text: str
    version: int
    overlap_until: Instant | None = None

    def __repr__(self) -> str:
        return f"Made(version={self.version})"


class WebhookSecrets(Struct, frozen=True, kw_only=True):
    """A command that is carried out again finds the secret that it made, and makes no other."""

    vault: Vault
    clock: Clock

    async def first(self, tenant_id: TenantId, webhook_id: WebhookId, command_id: CommandId) -> Made:
        held = await self.vault.get(tenant_id, webhook_id)
        if held is not None and (made := _made_by(held, command_id)) is not None:
            return made
        signing = Signing(current=_new(), made_by=command_id)
        return Made(text=signing.current, version=await self.vault.put(tenant_id, webhook_id, encode(signing)))

    async def next(self, tenant_id: TenantId, webhook_id: WebhookId, command_id: CommandId, overlap: timedelta) -> Made:
        """Raises StreamMoved while somebody else replaces it."""
        held = await self.vault.get(tenant_id, webhook_id)
        if held is None:
            raise NoSuchWebhook("no such webhook")
        if (made := _made_by(held, command_id)) is not None:
            return made
        turn = await self.vault.take_turn(tenant_id, webhook_id, held.version, TURN_S)
        if turn is None:
            raise StreamMoved("somebody else replaces this secret")
        signing = Signing(
            current=_new(),
            made_by=command_id,
            previous=decode(turn.secret.body).current,
            previous_until=self.clock.now() + overlap,
        )
        version = await self.vault.end_turn(tenant_id, webhook_id, turn, encode(signing))
        if version is None:
            raise StreamMoved("somebody else replaces this secret")
        return Made(text=signing.current, version=version, overlap_until=signing.previous_until)

    async def erase(self, tenant_id: TenantId, webhook_id: WebhookId) -> None:
        """What is put while we look is erased as well."""
        while (held := await self.vault.get(tenant_id, webhook_id)) is not None:
            await self.vault.erase(tenant_id, webhook_id, held.version)


def _made_by(held: Secret, command_id: CommandId) -> Made | None:
    kept = decode(held.body)
    if kept.made_by != command_id:
        return None
    return Made(text=kept.current, version=held.version, overlap_until=kept.previous_until)


def _new() -> str:
    return new_secret(secrets.token_bytes(KEY_BYTES))
