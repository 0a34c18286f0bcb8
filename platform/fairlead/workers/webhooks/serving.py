"""Serves one webhook while there is something to do: lists what it is to be told, and tells it, run by run in order.

What is listed and waits is bounded; past the bound the listing stands still, and the log keeps the rest.
"""

import asyncio
import random
from contextlib import suppress
from datetime import datetime, timedelta

import structlog
from msgspec import Struct

from fairlead.domain.codec import Unreadable
from fairlead.domain.envelope import SYSTEM, StreamRef
from fairlead.domain.envelope import Sequence as LogSequence
from fairlead.domain.ids import CommandId
from fairlead.domain.webhooks.backoff import FIRST_S, pause_s
from fairlead.domain.webhooks.deliveries import Attempt, Fed, Standing
from fairlead.domain.webhooks.lanes import Lanes, Waiting
from fairlead.domain.webhooks.subscription import DisableWebhook, Subscription
from fairlead.handling.handler import Cause, Handler
from fairlead.ports import Clock, Followed, Ids, Log
from fairlead.workers.webhooks.board import Key, WebhookBoard
from fairlead.workers.webhooks.book import Book
from fairlead.workers.webhooks.listing import Listed, Listing
from fairlead.workers.webhooks.places import RunPlaces
from fairlead.workers.webhooks.recent import Recent
from fairlead.workers.webhooks.sending import GONE, Address, NothingToSend, Sender

MAX_WAITING = 10_000  # deliveries of one webhook
MAX_AT_ONCE = 8  # of one webhook, each of another run

_log = structlog.get_logger()


class Times(Struct, frozen=True, kw_only=True):
    """`dead_after`: a webhook that took nothing for so long is disabled. `linger_s` it is held without news; one whose
    next attempt is further away than `far_s` is let go meanwhile."""

    dead_after: timedelta = timedelta(hours=24)
    lease_s: float = 15.0
    linger_s: float = 2.0
    first_pause_s: float = FIRST_S
    far_s: float = 30.0


class Desk(Struct, frozen=True, kw_only=True):
    """What all webhooks of a process are served with."""

    log: Log
    handler: Handler
    clock: Clock
    ids: Ids
    book: Book
    board: WebhookBoard
    places: RunPlaces
    sender: Sender
    times: Times


class Counted:
    """Attempts of one process."""

    def __init__(self) -> None:
        self.delivered = 0
        self.failed = 0


class Serving:
    """Of one webhook that this process holds. `share` bounds what its tenant has under way."""

    def __init__(
        self,
        desk: Desk,
        key: Key,
        standing: Standing,
        waiting: list[Waiting],
        share: asyncio.Semaphore,
        counted: Counted,
    ) -> None:
        self._desk = desk
        self._key = key
        self._listing = Listing(desk.log, desk.places, *key)
        self._listed = Listed(fed_to=standing.fed_to, last_number=standing.last_number, acted_on=standing.acted_on)
        self._written = self._listed
        self._failing_since = standing.failing_since
        self._lanes = Lanes(waiting)
        self._recent = Recent()
        self._share = share
        self._counted = counted
        self._moved = asyncio.Event()
        self._room = asyncio.Event()
        self._is_caught_up = False
        self._is_going_back = False
        self._under_way = 0

    @property
    def waiting(self) -> int:
        return len(self._lanes)

    @property
    def is_failing(self) -> bool:
        return self._failing_since is not None

    def nudge(self) -> None:
        """Something about the webhook has changed."""
        self._moved.set()

    async def run(self) -> datetime | None:
        """Until there is nothing to do for a while. When to look again; None: with the next news.

        Raises HoldLost, Unavailable, in a group.
        """
        async with asyncio.TaskGroup() as tasks:
            beside = [tasks.create_task(self._keep()), tasks.create_task(self._list())]
            look_again = await self._tell(tasks)
            for task in beside:
                task.cancel()
        if self._listed != self._written:
            await self._write(self._fed(self._listed))
        return look_again

    def _subscription(self) -> Subscription | None:
        """None as soon as it is to be told nothing more."""
        known = self._desk.board.known(self._key)
        wanted = known.subscription if known else None
        return wanted if wanted is not None and wanted.is_enabled else None

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(self._desk.times.lease_s / 3)
            await self._desk.book.keep(*self._key, self._desk.times.lease_s)

    async def _tell(self, tasks: asyncio.TaskGroup) -> datetime | None:
        look_again: datetime | None = None
        while (wanted := self._subscription()) is not None:
            self._moved.clear()
            self._send_due(wanted, tasks)
            if self._under_way or not self._is_caught_up or self._is_going_back:
                await self._moves_within(self._pause_s() if self._has_place() else None)
            elif self._lanes.next_due() is None:
                if not await self._moves_within(self._desk.times.linger_s):
                    break
            elif (pause := self._pause_s() or 0.0) > self._desk.times.far_s:
                look_again = self._lanes.next_due()
                break
            else:
                await self._moves_within(pause)
        while self._under_way:
            self._moved.clear()
            await self._moved.wait()
        return look_again

    def _send_due(self, wanted: Subscription, tasks: asyncio.TaskGroup) -> None:
        while self._has_place() and (due := self._lanes.take(self._desk.clock.now())) is not None:
            self._under_way += 1
            tasks.create_task(self._send(wanted, due))

    def _has_place(self) -> bool:
        """Who does not answer is asked by one request at a time."""
        return not self._is_going_back and self._under_way < (1 if self.is_failing else MAX_AT_ONCE)

    def _pause_s(self) -> float | None:
        due_at = self._lanes.next_due()
        return None if due_at is None else max(0.0, (due_at - self._desk.clock.now()).total_seconds())

    async def _moves_within(self, timeout_s: float | None) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._moved.wait()
                return True
        return False

    async def _send(self, wanted: Subscription, waiting: Waiting) -> None:
        tenant_id, webhook_id = self._key
        to = Address(tenant_id=tenant_id, webhook_id=webhook_id, url=wanted.url)
        try:
            async with self._share:
                attempt = await self._desk.sender.attempt(to, waiting, self._recent.get(waiting.sequence))
        except NothingToSend as gone:
            await self._drop(waiting, str(gone))
        else:
            await self._settle(waiting, attempt)
        self._under_way -= 1
        self._room.set()
        self._moved.set()

    async def _settle(self, waiting: Waiting, attempt: Attempt) -> None:
        if not attempt.error:
            await self._desk.book.delivered(*self._key, waiting.number, attempt)
            self._failing_since = None
            self._counted.delivered += 1
            self._lanes.done(waiting)
            return
        self._counted.failed += 1
        await self._failed(waiting, attempt)

    async def _failed(self, waiting: Waiting, attempt: Attempt) -> None:
        drawn = random.random()  # noqa: S311  # spreads attempts, guards nothing
        pause = pause_s(waiting.attempts + 1, drawn, attempt.retry_after_s, self._desk.times.first_pause_s)
        due_at = attempt.at + timedelta(seconds=pause)
        await self._desk.book.failed(*self._key, waiting.number, attempt, due_at)
        self._failing_since = self._failing_since or attempt.at
        first_failed_at = waiting.first_failed_at or attempt.at
        is_dead = self._is_long_ago(self._failing_since, attempt.at)
        if not is_dead and attempt.status != GONE and self._is_long_ago(first_failed_at, attempt.at):
            await self._drop(waiting, "given_up")  # others are taken, this one is not
            return
        self._lanes.again(waiting, due_at, first_failed_at)
        if attempt.status == GONE:
            await self._disable(DisableWebhook(by="gone", reason="the receiver answered 410"))
        elif is_dead:
            reason = f"nothing was taken since {self._failing_since:%Y-%m-%d %H:%M} UTC: {attempt.error}"
            await self._disable(DisableWebhook(by="failures", reason=reason, failing_since=self._failing_since))

    def _is_long_ago(self, since: datetime, now: datetime) -> bool:
        known = self._desk.board.known(self._key)
        assert known is not None, "it is served"
        return now - max(since, known.fresh_since) >= self._desk.times.dead_after

    async def _drop(self, waiting: Waiting, why: str) -> None:
        await self._desk.book.dropped(*self._key, waiting.number, why)
        self._lanes.done(waiting)

    async def _disable(self, command: DisableWebhook) -> None:
        tenant_id, webhook_id = self._key
        _log.warning("webhook_disabled", tenant_id=tenant_id, webhook_id=webhook_id, by=command.by)
        cause = Cause(actor=SYSTEM, command_id=CommandId(self._desk.ids.new("cmd")))
        await self._desk.handler.handle(StreamRef(tenant_id, "webhook", webhook_id), command, cause)

    async def _list(self) -> None:
        while self._subscription() is not None:
            await self._list_from(LogSequence(self._listed.fed_to))

    async def _list_from(self, after: LogSequence) -> None:
        """Until somebody wishes to begin further back, or nothing more is to be told."""
        async with self._desk.log.follow(after, tenants=[self._key[0]]) as batches:
            async for batch in batches:
                self._is_caught_up = not batch
                if batch:
                    await self._has_room()
                    wanted = self._subscription()
                    if wanted is None or await self._take_in(batch, wanted):
                        return
                self._moved.set()

    async def _has_room(self) -> None:
        while len(self._lanes) >= MAX_WAITING:
            self._room.clear()
            await self._room.wait()

    async def _take_in(self, batch: list[Followed], wanted: Subscription) -> bool:
        """Whether to begin again further back."""
        fed = await self._listing.step(batch, self._listed, wanted.filter, self._desk.clock.now())
        listed = Listed(fed_to=fed.fed_to, last_number=fed.last_number, acted_on=fed.acted_on)
        if fed.back_to is not None:
            await self._go_back(fed, listed)
            return True
        if fed.waiting or fed.acted_on != self._listed.acted_on:
            await self._write(fed)
            self._written = listed
        self._listed = listed
        sequences = {waiting.sequence for waiting in fed.waiting}
        for recorded in batch:
            if recorded.sequence in sequences and not isinstance(recorded, Unreadable):
                self._recent.keep(recorded)
        for waiting in fed.waiting:
            self._lanes.add(waiting)
        return False

    async def _go_back(self, fed: Fed, listed: Listed) -> None:
        """Once nothing is under way: what waits past that place is listed anew."""
        self._is_going_back = True
        while self._under_way:
            self._room.clear()
            await self._room.wait()
        await self._write(fed)
        self._lanes = Lanes(await self._desk.book.waiting(*self._key))
        self._listed = self._written = listed
        self._is_going_back = False
        self._moved.set()

    async def _write(self, fed: Fed) -> None:
        await self._desk.book.feed(*self._key, fed)

    @staticmethod
    def _fed(listed: Listed) -> Fed:
        return Fed(fed_to=listed.fed_to, last_number=listed.last_number, acted_on=listed.acted_on)
