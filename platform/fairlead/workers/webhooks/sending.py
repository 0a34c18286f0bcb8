"""One attempt: the event, signed, to one address, by the guarded way out."""

import time

from fairlead_sdk.answers import retry_after_s
from fairlead_sdk.errors import ToolError
from fairlead_sdk.webhook_signing import key_of, signature
from fairlead_tenants.ids import TenantId
from msgspec import Struct

from fairlead.domain.envelope import position
from fairlead.domain.ids import WebhookId
from fairlead.domain.webhooks import secrets
from fairlead.domain.webhooks.deliveries import Attempt
from fairlead.domain.webhooks.lanes import Waiting
from fairlead.domain.webhooks.payload import body_of
from fairlead.ports import AnyRecorded, Clock, Log, Outbound, Vault, WayOut
from fairlead.workers.webhooks.listing import commit_at

TIMEOUT_S = 15.0
MAX_ANSWER_BYTES = 64 * 1024  # it is not read
GONE = 410


class NothingToSend(Exception):
    """The event or the secret is not there any more."""


class Address(Struct, frozen=True, kw_only=True):
    tenant_id: TenantId
    webhook_id: WebhookId
    url: str


class Sender:
    """One for each process."""

    def __init__(self, log: Log, vault: Vault, outbound: Outbound, clock: Clock, timeout_s: float = TIMEOUT_S) -> None:
        self._log = log
        self._vault = vault
        self._outbound = outbound
        self._clock = clock
        self._timeout_s = timeout_s

    async def attempt(self, to: Address, waiting: Waiting, recorded: AnyRecorded | None) -> Attempt:
        """`recorded` spares a look at the log. Raises NothingToSend, Unavailable when an engine of ours is away."""
        if recorded is None and (recorded := await commit_at(self._log, to.tenant_id, waiting.sequence)) is None:
            raise NothingToSend("event_gone")
        body = body_of(recorded, waiting.index)
        now, began_s = self._clock.now(), time.monotonic()
        headers = await self._signed(to, position(waiting.sequence, waiting.index), int(now.timestamp()), body)
        status: int | None = None
        retry_s: float | None = None
        try:
            answer = await self._outbound.http(self._way(to)).send(
                "POST", to.url, headers=headers, body=body, authorized=False, max_bytes=MAX_ANSWER_BYTES
            )
            status, retry_s = answer.status, retry_after_s(answer)
            error = "" if 200 <= answer.status < 300 else f"http_{answer.status}"
        except ToolError as fault:
            error = fault.code
        took_ms = round((time.monotonic() - began_s) * 1000)
        return Attempt(at=now, took_ms=took_ms, error=error, status=status, retry_after_s=retry_s)

    def _way(self, to: Address) -> WayOut:
        return WayOut(owner=to.webhook_id, egress=("{url}",), config={"url": to.url}, timeout_s=self._timeout_s)

    async def _signed(self, to: Address, message_id: str, now_s: int, body: bytes) -> dict[str, str]:
        kept = await self._vault.get(to.tenant_id, to.webhook_id)
        if kept is None:
            raise NothingToSend("secret_gone")
        valid = secrets.decode(kept.body).valid_at(self._clock.now())
        return {
            "content-type": "application/json",
            "webhook-id": message_id,
            "webhook-timestamp": str(now_s),
            "webhook-signature": " ".join(signature(key_of(each), message_id, now_s, body) for each in valid),
        }
