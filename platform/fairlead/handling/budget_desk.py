"""Where calls of one process reserve and settle: those of one tenant that come together share one commit.

Nothing waits that has nobody to wait for: what comes while a commit is under way goes into the next one. The log
decides between processes, so of two desks that take the last of a cap at once, one is told that there is no more.
"""

import asyncio
from collections import OrderedDict
from datetime import datetime

import structlog
from fairlead_tenants.ids import TenantId

from fairlead.domain.budgets import commands as c
from fairlead.domain.budgets.amounts import Amount
from fairlead.domain.budgets.decide import Refusal, refusal
from fairlead.domain.budgets.states import Book
from fairlead.domain.codec import CommitTooLarge
from fairlead.domain.envelope import SYSTEM
from fairlead.domain.errors import StreamMoved, Unavailable
from fairlead.domain.ids import CommandId
from fairlead.handling.budget_books import BudgetBooks
from fairlead.handling.handler import Cause
from fairlead.ports import Clock, Ids

MOST_TOGETHER = 200  # entries of one commit
MOST_WAITING = 5_000  # of one tenant
KEPT_TENANTS = 4_096
AGAIN_S = 0.5

_log = structlog.get_logger()


class Reserved:
    """`counted`: some budget is concerned, and it has to be settled or released."""

    __slots__ = ("counted", "reservation_id")

    def __init__(self, reservation_id: str, counted: bool) -> None:
        self.reservation_id = reservation_id
        self.counted = counted


Answer = Reserved | Refusal


class BudgetDesk:
    """One for each process. What it was told is written while the process lives; what it forgets lapses."""

    def __init__(self, books: BudgetBooks, clock: Clock, ids: Ids) -> None:
        self.books = books
        self.clock = clock
        self.ids = ids
        self._lanes: OrderedDict[TenantId, _Lane] = OrderedDict()

    async def reserve(self, tenant_id: TenantId, wanted: c.Reserve) -> Answer:
        """In every budget that it concerns, or nothing. Raises Unavailable, StreamMoved."""
        return await self._lane(tenant_id).ask(wanted)

    def settle(self, tenant_id: TenantId, reservation_id: str, actual: Amount) -> None:
        """What it has cost. Does not wait."""
        self._lane(tenant_id).tell(c.Settle(reservation_id=reservation_id, actual=actual))

    def release(self, tenant_id: TenantId, reservation_id: str) -> None:
        """It was not made. Does not wait."""
        self._lane(tenant_id).tell(c.Release(reservation_id=reservation_id))

    def renew(self, tenant_id: TenantId, reservation_id: str, until: datetime) -> None:
        """It takes longer. Does not wait."""
        self._lane(tenant_id).tell(c.Renew(reservation_id=reservation_id, until=until))

    async def written(self) -> None:
        """All that was told so far is on the log, for whoever stops the process."""
        await asyncio.gather(*(lane.written() for lane in self._lanes.values()))

    def _lane(self, tenant_id: TenantId) -> "_Lane":
        lane = self._lanes.pop(tenant_id, None) or _Lane(self, tenant_id)
        self._lanes[tenant_id] = lane
        while len(self._lanes) > KEPT_TENANTS and next(iter(self._lanes.values())).is_idle:
            self._lanes.popitem(last=False)
        return lane


class _Lane:
    """What calls of one tenant want entered."""

    def __init__(self, desk: BudgetDesk, tenant_id: TenantId) -> None:
        self._desk = desk
        self._tenant_id = tenant_id
        self._waiting: list[tuple[c.Entry, asyncio.Future[Answer] | None]] = []
        self._work: asyncio.Task[None] | None = None
        self._watch: asyncio.TimerHandle | None = None
        self._must_look = False

    @property
    def is_idle(self) -> bool:
        return self._work is None and self._watch is None

    async def ask(self, wanted: c.Reserve) -> Answer:
        if len(self._waiting) >= MOST_WAITING:
            raise Unavailable("the book of budgets")
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._add(wanted, answer)
        return await answer

    def tell(self, entry: c.Entry) -> None:
        self._add(entry, None)

    async def written(self) -> None:
        while self._work is not None:
            await asyncio.wait([self._work])

    def _add(self, entry: c.Entry, answer: "asyncio.Future[Answer] | None") -> None:
        self._waiting.append((entry, answer))
        self._begin()

    def _begin(self) -> None:
        if self._work is None:
            self._work = asyncio.create_task(self._write_all())

    async def _write_all(self) -> None:
        try:
            while self._waiting or self._must_look:
                self._must_look = False
                batch, self._waiting = self._waiting[:MOST_TOGETHER], self._waiting[MOST_TOGETHER:]
                # Who gave up meanwhile spends nothing.
                batch = [(entry, answer) for entry, answer in batch if answer is None or not answer.done()]
                await self._write(batch)
        finally:
            self._work = None

    async def _write(self, batch: "list[tuple[c.Entry, asyncio.Future[Answer] | None]]") -> None:
        desk = self._desk
        command = c.Enter(entries=tuple(entry for entry, _ in batch), now=desk.clock.now())
        cause = Cause(actor=SYSTEM, command_id=CommandId(desk.ids.new("cmd")))
        try:
            book = (await desk.books.handle(self._tenant_id, command, cause)).state
        except (Unavailable, StreamMoved, CommitTooLarge) as failed:
            await self._put_back(batch, failed)
            return
        except Exception as fault:
            for _, answer in batch:
                if answer is not None and not answer.done():
                    answer.set_exception(fault)
            raise
        assert isinstance(book, Book), "an entry is made on an open page"
        for entry, answer in batch:
            if answer is not None and isinstance(entry, c.Reserve):
                self._answer(entry, answer, book, command.now)
        self._watch_leases(book)

    def _answer(self, wanted: c.Reserve, answer: "asyncio.Future[Answer]", book: Book, now: datetime) -> None:
        is_reserved = wanted.reservation_id in book.reservations
        if answer.done():  # nobody waits for it any more
            if is_reserved:
                self.tell(c.Release(reservation_id=wanted.reservation_id))
        elif is_reserved or not any(book.concerned(wanted.spender, wanted.bound, now)):
            answer.set_result(Reserved(wanted.reservation_id, is_reserved))
        elif (refused := refusal(wanted, book, now)) is not None:
            answer.set_result(refused)
        else:  # whoever held it has given it back within this commit
            self._add(wanted, answer)

    async def _put_back(self, batch: "list[tuple[c.Entry, asyncio.Future[Answer] | None]]", failed: Exception) -> None:
        """Whoever asked is told; what has happened is said again until it is written."""
        for _, answer in batch:
            if answer is not None and not answer.done():
                answer.set_exception(failed)
        told = [(entry, answer) for entry, answer in batch if answer is None]
        if told:
            _log.warning("spending_not_recorded_yet", entries=len(told), reason=str(failed))
            await asyncio.sleep(AGAIN_S)
            self._waiting = [*told, *self._waiting]

    def _watch_leases(self, book: Book) -> None:
        """Look again when the next one runs out: whoever made it may be gone."""
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        if book.reservations:
            first = min(each.until for each in book.reservations.values())
            wait_s = max(0.0, (first - self._desk.clock.now()).total_seconds()) + AGAIN_S
            self._watch = asyncio.get_running_loop().call_later(wait_s, self._look)

    def _look(self) -> None:
        self._watch = None
        self._must_look = True
        self._begin()
