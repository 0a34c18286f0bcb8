"""Where deliveries are written down, so that another process can go on where this one ends."""

from typing import Protocol

from fairlead_tenants.ids import TenantId

from fairlead.domain.ids import WebhookId
from fairlead.domain.instant import Instant
from fairlead.domain.webhooks.deliveries import Attempt, Fed, Standing, Tally
from fairlead.domain.webhooks.lanes import Waiting


class Book(Protocol):
    """Every method raises Unavailable. Those that write for a webhook raise HoldLost once another process holds it."""

    async def take(
        self, tenant_id: TenantId, webhook_id: WebhookId, start: int, lease_s: float
    ) -> tuple[Standing, list[Waiting]] | None:
        """None while another holds it. A webhook without a page begins at `start`."""

    async def keep(self, tenant_id: TenantId, webhook_id: WebhookId, lease_s: float) -> None: ...

    async def let_go(self, tenant_id: TenantId, webhook_id: WebhookId) -> None: ...

    async def feed(self, tenant_id: TenantId, webhook_id: WebhookId, fed: Fed) -> None: ...

    async def waiting(self, tenant_id: TenantId, webhook_id: WebhookId) -> list[Waiting]: ...

    async def delivered(self, tenant_id: TenantId, webhook_id: WebhookId, number: int, attempt: Attempt) -> None: ...

    async def failed(
        self, tenant_id: TenantId, webhook_id: WebhookId, number: int, attempt: Attempt, due_at: Instant
    ) -> None: ...

    async def dropped(self, tenant_id: TenantId, webhook_id: WebhookId, number: int, error: str) -> None: ...

    async def forget(self, tenant_id: TenantId, webhook_id: WebhookId) -> None: ...

    async def tell(self, tally: Tally) -> None: ...
