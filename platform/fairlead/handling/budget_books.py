"""Finds the page that a tenant's book of budgets is on, and turns it when it is full."""

from collections import OrderedDict

from fairlead_tenants.ids import TenantId

from fairlead.domain.budgets import commands as c
from fairlead.domain.budgets.decide import TURN_AFTER, lapsing, page_stream, turned
from fairlead.domain.budgets.errors import PageTurned
from fairlead.domain.budgets.states import Book, BudgetState, Closed, evolve
from fairlead.domain.envelope import SYSTEM
from fairlead.domain.errors import StreamMoved
from fairlead.domain.ids import CommandId
from fairlead.domain.instant import Instant
from fairlead.handling.handler import Cause, Handled, Handler
from fairlead.ports import Clock, Log

MOST_PAGES = 2**24
LOOK_AT = 16  # pages that one question is about
MAX_TURNS = 100  # of pages that others have turned meanwhile
KEPT_TENANTS = 10_000


class BudgetBooks:
    """One for each process."""

    def __init__(self, log: Log, handler: Handler, clock: Clock) -> None:
        self._log = log
        self._handler = handler
        self._clock = clock
        self._pages: OrderedDict[TenantId, int] = OrderedDict()

    async def handle(self, tenant_id: TenantId, command: c.BudgetCommand, cause: Cause) -> Handled:
        """On the page where the book is now. Raises what the decision raises, and what the handler does."""
        for _ in range(MAX_TURNS):
            page = await self._page(tenant_id)
            try:
                handled = await self._handler.handle(page_stream(tenant_id, page), command, cause)
            except PageTurned:
                await self._next(tenant_id, page)
                continue
            if isinstance(handled.state, Book) and handled.state.facts >= TURN_AFTER:
                await self._turn(tenant_id, page)
            return handled
        raise StreamMoved("the book is turned faster than it can be read")

    async def book(self, tenant_id: TenantId) -> Book:
        """As it is now, without what has lapsed meanwhile. Raises Unavailable."""
        for _ in range(MAX_TURNS):
            page = await self._page(tenant_id)
            state: BudgetState = (await self._handler.load(page_stream(tenant_id, page))).state
            if isinstance(state, Book):
                return as_seen(state, self._clock.now())
            await self._next(tenant_id, page)
        raise StreamMoved("the book is turned faster than it can be read")

    async def _page(self, tenant_id: TenantId) -> int:
        page = self._pages.get(tenant_id) or await self._search(tenant_id)
        return self._keep(tenant_id, page)

    async def _search(self, tenant_id: TenantId) -> int:
        """The last page that has been begun; 1 where none has. Pages are begun in order."""
        low, high = 1, MOST_PAGES
        while low < high:
            asked = _between(low, high)
            heads = await self._log.heads([page_stream(tenant_id, page) for page in asked])
            begun = [page for page, head in zip(asked, heads, strict=True) if head]
            missing = [page for page, head in zip(asked, heads, strict=True) if not head]
            low, high = max(begun, default=low), min(missing, default=high + 1) - 1
        return low

    async def _turn(self, tenant_id: TenantId, page: int) -> None:
        """And begin the next one at once, while it is known here what with: nobody has to read the page for that."""
        stream = page_stream(tenant_id, page)
        closed = (await self._handler.handle(stream, c.TurnPage(), _ours(f"cmd_{stream.id}-close"))).state
        if isinstance(closed, Closed):
            await self._open(tenant_id, page, closed)

    async def _next(self, tenant_id: TenantId, page: int) -> None:
        """Whoever comes first begins it; what it begins with follows from the page before."""
        closed = (await self._handler.load(page_stream(tenant_id, page))).state
        assert isinstance(closed, Closed), "a page that was closed stays closed"
        await self._open(tenant_id, page, closed)

    async def _open(self, tenant_id: TenantId, page: int, closed: Closed) -> None:
        stream = page_stream(tenant_id, page + 1)
        opening = c.OpenPage(opened=turned(closed, self._clock.now()))
        await self._handler.handle(stream, opening, _ours(f"cmd_{stream.id}-open"))
        self._keep(tenant_id, page + 1)

    def _keep(self, tenant_id: TenantId, page: int) -> int:
        kept = max(page, self._pages.pop(tenant_id, 1))
        self._pages[tenant_id] = kept
        while len(self._pages) > KEPT_TENANTS:
            self._pages.popitem(last=False)
        return kept


def as_seen(book: Book, now: Instant) -> Book:
    """With what has lapsed by then, though nobody has written it down."""
    for lapsed in tuple(lapsing(book, now)):
        after = evolve(book, lapsed)
        assert isinstance(after, Book), "lapsing closes no page"
        book = after
    return book


def _between(low: int, high: int) -> list[int]:
    """Pages past `low`, close together near it and far apart further on: books are short more often than not."""
    steps = {min(high, low + 2**power) for power in range(LOOK_AT)} | {high}
    return sorted(steps)


def _ours(command_id: str) -> Cause:
    return Cause(actor=SYSTEM, command_id=CommandId(command_id))
