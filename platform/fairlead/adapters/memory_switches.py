"""Switches in memory: what every process of a test sees, until the test takes the sight away."""

import asyncio
from collections.abc import Awaitable, Callable

from fairlead_tenants.ids import TenantId

from fairlead.domain.switches.board import Board
from fairlead.domain.switches.verdict import Boards


class MemorySwitches:
    def __init__(self) -> None:
        self.is_known = True
        self._boards: dict[TenantId, Board] = {}
        self._news = asyncio.Event()

    def known(self) -> Boards | None:
        return self._boards if self.is_known else None

    async def changed(self, timeout_s: float) -> bool:
        try:
            async with asyncio.timeout(timeout_s):
                await self._news.wait()
        except TimeoutError:
            return False
        return True

    async def keep(self, holder: TenantId, board: Board) -> None:
        known = self._boards.get(holder)
        if known is None or known.version < board.version:
            self._boards = {**self._boards, holder: board}
            self._news.set()
            self._news = asyncio.Event()

    async def complete(self) -> None:
        self.is_known = True

    async def run(self, fill: Callable[[], Awaitable[None]]) -> None:
        await fill()
        await asyncio.Event().wait()
