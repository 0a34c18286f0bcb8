"""No test waits for ever: one that does fails, after saying what every task was waiting for."""

import asyncio
import io
import os
import time
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

LONGEST_S = 240.0  # pytest itself ends the process of a test that does not even end then


def bounded(test: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    """The test, which raises TimeoutError when it takes too long."""

    @wraps(test)
    async def within_its_time(*given: Any, **named: Any) -> None:
        async with asyncio.timeout(LONGEST_S):
            await test(*given, **named)

    return within_its_time


class Watch:
    """Looks at how long the test of the moment takes, its fixtures included."""

    def __init__(self, longest_s: float = LONGEST_S - 5.0) -> None:
        self._longest_s = longest_s
        self._began_at = time.monotonic()
        self._told = False
        self._descriptor = 2

    def tells_on(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def begins(self) -> None:
        self._began_at, self._told = time.monotonic(), False

    async def run(self) -> None:
        while True:
            await asyncio.sleep(1)
            if not self._told and time.monotonic() - self._began_at > self._longest_s:
                self._told = True
                said = io.StringIO()
                for task in asyncio.all_tasks():
                    task.print_stack(file=said)
                os.write(self._descriptor, said.getvalue().encode())
