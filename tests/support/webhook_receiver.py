"""A receiver of webhooks that checks what it is sent with the specification's own library, and a worker that sends."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import msgspec
from standardwebhooks import Webhook

from fairlead.adapters.outbound import GuardedOutbound
from fairlead.adapters.postgres import Database
from fairlead.core import webhooks_of
from fairlead.ports import Clock
from fairlead.workers.webhooks.serving import Times
from fairlead.workers.webhooks.worker import WebhookWorker
from tests.support.api import Customer, Served, running
from tests.support.flaky_http import Answer, Asked, FlakyServer, Wire, reply

SOON_S = 15.0
QUICK = Times(lease_s=1.0, linger_s=0.05, first_pause_s=0.02, far_s=0.5, dead_after=timedelta(hours=24))
Json = dict[str, Any]


class Receiver:
    """`taken` are the events that were answered with 2xx, in that order. `answers` says how one is answered."""

    def __init__(self, server: FlakyServer, path: str) -> None:
        self.url = server.url(path)
        self.secret = ""
        self.taken: list[Json] = []
        self.asked: list[Asked] = []
        self.answers: Callable[[Json], Answer] = lambda _: reply(204, b"")
        self._news = asyncio.Event()
        server.answers[path] = self._answer

    async def _answer(self, writer: Wire, asked: Asked) -> None:
        body: Json = Webhook(self.secret).verify(asked.body, asked.headers) if self.secret else _unchecked(asked)
        assert asked.headers["webhook-id"] == body["data"]["position"]
        self.asked.append(asked)
        self._news.set()
        answer, sent = self.answers(body), _Status(writer)
        await answer(sent, asked)  # type: ignore[arg-type]  # what it writes is looked at on its way
        if sent.is_success:
            self.taken.append(body)
        self._news.set()

    async def until(self, holds: Callable[["Receiver"], bool]) -> None:
        async with asyncio.timeout(SOON_S):
            while not holds(self):
                self._news.clear()
                await self._news.wait()

    def types(self) -> list[str]:
        return [body["type"] for body in self.taken]


class _Status:
    def __init__(self, writer: Wire) -> None:
        self._writer = writer
        self.is_success = False

    def write(self, data: bytes) -> None:
        self.is_success = self.is_success or data.startswith(b"HTTP/1.1 2")
        self._writer.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._writer, name)


def _unchecked(asked: Asked) -> Json:
    body: Json = msgspec.json.decode(asked.body)
    return body


@asynccontextmanager
async def sending(
    served: Served, server: FlakyServer, times: Times = QUICK, name: str = "w1", clock: Clock | None = None
) -> AsyncIterator[None]:
    """A worker sends what there is to send, by this clock or that of the machine."""
    async with (
        Database(served.core.settings.database_url or "") as database,
        _way_to(server) as outbound,
        running(worker_of(served, outbound, database, times, name, clock).run()),
    ):
        yield


def worker_of(
    served: Served, outbound: GuardedOutbound, database: Database, times: Times, name: str, clock: Clock | None
) -> WebhookWorker:
    parts = webhooks_of(served.core, database)
    return msgspec.structs.replace(parts, outbound=outbound, clock=clock or parts.clock).worker(name, times)


def _way_to(server: FlakyServer) -> GuardedOutbound:
    return GuardedOutbound(private_networks=["127.0.0.1/32"], plain_http=[server.authority])


async def subscribed(customer: Customer, receiver: Receiver, *events: str, **fields: Any) -> str:
    """A webhook of the customer's, whose secret the receiver knows."""
    body = {"url": receiver.url, "events": list(events) or ["*"], **fields}
    made = (await customer.owner.post("/v1/webhooks", json=body)).json()
    receiver.secret = made["secret"]
    return str(made["webhook_id"])
