"""The board of a process knows which webhooks of all tenants were given up."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from fairlead.adapters.clock import SystemClock
from fairlead.adapters.memory_log import MemoryLog
from fairlead.domain.catalogue import EVENTS, UPCASTERS
from fairlead.domain.codec import Codec
from fairlead.domain.envelope import SYSTEM, StreamRef
from fairlead.domain.ids import CommandId
from fairlead.domain.webhooks import subscription
from fairlead.domain.webhooks.filters import Filter
from fairlead.domain.webhooks.subscription import CreateWebhook, DisableWebhook, EnableWebhook, RemoveWebhook
from fairlead.handling.handler import Cause, Decider, Handler
from fairlead.workers.webhooks.board import WebhookBoard
from tests.support.api import running
from tests.support.tenancy import TENANT

CREATE = CreateWebhook(url="https://hooks.example/in", description="", filter=Filter(events=("*",)), secret_version=1)
DECIDER = Decider(initial=subscription.initial, evolve=subscription.evolve, decide=subscription.decide)


class Site:
    def __init__(self) -> None:
        self.log = MemoryLog(Codec(EVENTS, UPCASTERS))
        self._heard = asyncio.Event()
        self.board = WebhookBoard(self.log, lambda _: self._heard.set())
        self._handler = Handler(self.log, SystemClock(), {"webhook": DECIDER})
        self._number = 0

    async def hears(self, webhook_id: str, command: subscription.WebhookCommand) -> int:
        """How many are given up once it is known."""
        self._heard.clear()
        self._number += 1
        cause = Cause(actor=SYSTEM, command_id=CommandId(f"cmd_{self._number}"))
        await self._handler.handle(StreamRef(TENANT, "webhook", webhook_id), command, cause)
        await asyncio.wait_for(self._heard.wait(), 10)
        return self.board.given_up


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    found = Site()
    async with running(found.board.run()):
        yield found


async def test_a_webhook_is_given_up_until_somebody_enables_or_removes_it(site: Site) -> None:
    for webhook_id in ("whk_1", "whk_2", "whk_3"):
        assert await site.hears(webhook_id, CREATE) == 0
    assert await site.hears("whk_1", DisableWebhook(by="failures", reason="no answer")) == 1
    assert await site.hears("whk_2", DisableWebhook(by="gone", reason="410")) == 2
    assert await site.hears("whk_3", DisableWebhook(by="person", reason="moves house")) == 2
    assert await site.hears("whk_1", EnableWebhook()) == 1
    assert await site.hears("whk_2", RemoveWebhook(reason="gone")) == 0
