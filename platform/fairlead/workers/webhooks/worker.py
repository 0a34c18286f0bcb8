"""Serves every webhook that has news, beside other processes that do the same: one of them holds each webhook.

A webhook that does not answer costs its own time only: each is served by itself, and a tenant has a share of what is
under way at once.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Coroutine
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import structlog
from fairlead_tenants.ids import TenantId

from fairlead.domain.errors import FairleadError, Unavailable
from fairlead.domain.webhooks.deliveries import Tally
from fairlead.handling.handler import Handler
from fairlead.handling.webhook_secrets import WebhookSecrets
from fairlead.ports import Clock, Ids, Log
from fairlead.workers.webhooks.board import Key, WebhookBoard
from fairlead.workers.webhooks.book import Book
from fairlead.workers.webhooks.places import RunPlaces
from fairlead.workers.webhooks.sending import Sender
from fairlead.workers.webhooks.serving import Counted, Desk, Serving, Times

MAX_SERVED = 500  # webhooks at once
MAX_OF_TENANT = 16  # requests of one tenant at once
RETRY_S = 2.0
TELL_S = 15.0

_log = structlog.get_logger()


class WebhookWorker:
    def __init__(
        self,
        *,
        log: Log,
        handler: Handler,
        clock: Clock,
        ids: Ids,
        book: Book,
        secrets: WebhookSecrets,
        sender: Sender,
        times: Times | None = None,
    ) -> None:
        self._desk = Desk(
            log=log,
            handler=handler,
            clock=clock,
            ids=ids,
            book=book,
            board=WebhookBoard(log, self.wake),
            places=RunPlaces(handler),
            sender=sender,
            times=times or Times(),
        )
        self._secrets = secrets
        self._serving: dict[Key, Serving | None] = {}  # None while it is being taken
        self._again: set[Key] = set()
        self._alarms: dict[Key, asyncio.TimerHandle] = {}
        self._left: dict[Key, tuple[int, bool]] = {}  # what waits at webhooks that are let go, and whether they fail
        self._shares: defaultdict[TenantId, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(MAX_OF_TENANT))
        self._places = asyncio.Semaphore(MAX_SERVED)
        self._counted = Counted()
        self._start: Callable[[Key], None] | None = None

    async def run(self) -> None:
        """Until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                self._start = lambda key: _begin(tasks, self._serve(key))
                tasks.create_task(self._desk.board.run())
                tasks.create_task(self._tell())
        finally:
            for alarm in self._alarms.values():
                alarm.cancel()

    def wake(self, key: Key) -> None:
        """It may have something to do."""
        assert self._start is not None, "the board runs when we do"
        if (alarm := self._alarms.pop(key, None)) is not None:
            alarm.cancel()
        if key not in self._serving:
            self._serving[key] = None
            self._start(key)
            return
        self._again.add(key)
        if (serving := self._serving[key]) is not None:
            serving.nudge()

    async def _serve(self, key: Key) -> None:
        look_again: datetime | None
        try:
            async with self._places:
                self._again.discard(key)
                look_again = await self._once(key)
        except (FairleadError, ExceptionGroup) as fault:
            _log.warning("webhook_waits", tenant_id=key[0], webhook_id=key[1], fault=_named(fault))
            look_again = self._desk.clock.now() + timedelta(seconds=RETRY_S)
        del self._serving[key]
        if key in self._again:
            self.wake(key)
        elif look_again is not None:
            self._alarm(key, look_again)

    async def _once(self, key: Key) -> datetime | None:
        """When to look again; None: with the next news."""
        known, desk = self._desk.board.known(key), self._desk
        self._left.pop(key, None)
        if known is None or known.subscription is None:
            await desk.book.forget(*key)
            await self._secrets.erase(*key)
            return None
        if not known.subscription.is_enabled:
            return None
        taken = await desk.book.take(*key, known.created_sequence, desk.times.lease_s)
        if taken is None:  # should whoever has it die, we go on
            return desk.clock.now() + timedelta(seconds=desk.times.lease_s)
        serving = self._serving[key] = Serving(desk, key, *taken, self._shares[key[0]], self._counted)
        try:
            return await serving.run()
        finally:
            if serving.waiting:
                self._left[key] = serving.waiting, serving.is_failing
            with suppress(Unavailable):  # then others wait until the lease has run out
                await desk.book.let_go(*key)

    def _alarm(self, key: Key, at: datetime) -> None:
        delay_s = max(0.0, (at - self._desk.clock.now()).total_seconds())
        self._alarms[key] = asyncio.get_running_loop().call_later(delay_s, self.wake, key)

    async def _tell(self) -> None:
        while True:
            with suppress(Unavailable):
                await self._desk.book.tell(self._tally())
            await asyncio.sleep(TELL_S)

    def _tally(self) -> Tally:
        served = [(serving.waiting, serving.is_failing) for serving in self._serving.values() if serving is not None]
        found = served + list(self._left.values())
        return Tally(
            waiting=sum(waiting for waiting, _ in found),
            failing=sum(is_failing for _, is_failing in found),
            disabled=self._desk.board.given_up,
            delivered=self._counted.delivered,
            failed=self._counted.failed,
        )


def _named(fault: BaseException) -> str:
    while isinstance(fault, BaseExceptionGroup):
        fault = fault.exceptions[0]
    return getattr(fault, "code", type(fault).__name__)


def _begin(tasks: asyncio.TaskGroup, work: Coroutine[Any, Any, None]) -> None:
    """The group holds its tasks. One that is ending takes none: whoever goes on for us finds what there is to do."""
    try:
        tasks.create_task(work)
    except RuntimeError:
        work.close()
